"""Interaction delete, conditional delete included: https://hl7.org/fhir/R4/http.html#delete"""

from collections.abc import Sequence

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential
from fhir_server.interactions.preconditions import expected, stale
from fhir_server.interactions.racing import Overtaken, won
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.values import no_values
from fhir_server.store.port import Change, Key, Version, VersionConflict, VersionIs
from resources.model import serialise
from resources.outcome import NotFound, information


async def delete(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Delete the current version; deleting what is deleted succeeds again, what never was is 404."""
    known_type(context, type_)
    answer.only(context, request)
    key = answer.key(context, type_, id_)
    existing = await reach.current(context, key, "d")
    if existing is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    return await _removed(context, request, existing)


async def conditional_delete(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Delete what matches: one, or where the setting allows it several; none to delete succeeds.

    More matches than may be deleted are refused with 412, as is If-Match where not one alone matches.
    """
    known_type(context, type_)

    async def attempt() -> FhirResponse:
        found = await matching(context, request, type_)
        if not found:
            return FhirResponse(204)
        if len(found) == 1:
            return await _removed(context, request, found[0])
        return await _all_removed(context, request, found)

    return await won(context, attempt)


async def matching(context: Context, request: FhirRequest, type_: str) -> Sequence[Version]:
    """Give what a conditional delete is to remove; raises PreconditionFailed for more than it may."""
    context.require(type_, "d")
    context.require(type_, "s")
    if context.services.policy.delete_several and "if-match" not in request.headers:
        return await conditional.several(context, type_, request.query)
    plan = await conditional.plan_of(context, type_, request.query)
    match = await conditional.one(context, plan)
    if match is None or await reach.current(context, match.key, "d") is None:
        return ()
    return (match,)


async def _all_removed(
    context: Context, request: FhirRequest, found: Sequence[Version]
) -> FhirResponse:
    """Delete several as they were found, all or none; raises Overtaken where one was changed meanwhile."""
    changes = tuple(deletion(version.key) for version in found)
    await referential.refuse(context, changes)
    try:
        await context.services.store.commit(changes, tuple(unchanged(version) for version in found))
    except VersionConflict:  # it may match no more
        raise Overtaken from None
    return _told(request, FhirResponse(204), f"{len(found)} resources were deleted")


def unchanged(version: Version) -> VersionIs:
    """Give the precondition that a version is still the current one."""
    return VersionIs(version.key, version.version_id)


def deletion(key: Key) -> Change:
    """Give the change that deletes a key."""
    return Change(key, "DELETE", None, no_values())


async def _removed(context: Context, request: FhirRequest, existing: Version) -> FhirResponse:
    key, wanted = existing.key, expected(request, existing)
    await referential.refuse(context, (deletion(key),))
    guard = () if wanted is None else (VersionIs(key, wanted),)
    try:
        version = (await context.services.store.commit((deletion(key),), guard))[0]
    except VersionConflict as conflict:
        raise stale(conflict) from None
    return _told(request, removed(version), f"Deleted as version {version.version_id}")


def _told(request: FhirRequest, done: FhirResponse, text: str) -> FhirResponse:
    """Tell of a deletion in an OperationOutcome where Prefer asks for one."""
    if answer.preferences(request).get("return") != "OperationOutcome":
        return done
    return replace(done, status=200, body=serialise(information(text)))


def removed(version: Version) -> FhirResponse:
    """Answer a deletion."""
    return FhirResponse(204, b"", {"ETag": f'W/"{version.version_id}"'}, written=version.updated)
