"""Interaction delete, conditional delete included: https://hl7.org/fhir/R4/http.html#delete"""

from collections.abc import Sequence

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential
from fhir_server.interactions.preconditions import demanded, lost, refuse_nothing
from fhir_server.interactions.racing import won
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.values import no_values
from fhir_server.store.port import Change, Key, Precondition, Version, VersionConflict, VersionIs
from resources.model import serialise
from resources.outcome import NotFound, information


async def delete(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Delete the current version; deleting what is deleted, or never was, succeeds and writes nothing.

    For callers with limits what never was is 404, as is what is out of their reach: they cannot tell which.
    """
    known_type(context, type_)
    answer.only(context, request)
    key = answer.key(context, type_, id_)

    async def attempt() -> FhirResponse:
        existing = await reach.current(context, key, "d")
        if existing is None:
            refuse_absent(context, request, type_)
            return nothing(request)
        return await _removed(context, request, existing)

    return await won(context, attempt)


def refuse_absent(context: Context, request: FhirRequest, type_: str) -> None:
    """Refuse the deletion of what is not there to those that may not know it; raises NotFound.

    Raises PreconditionFailed where If-Match asks that it is there.
    """
    if not context.access.unlimited(type_, "d"):
        raise NotFound("There is no such resource, or it is out of this token's reach")
    refuse_nothing(request)


async def conditional_delete(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Delete what matches: one, or where the setting allows it several; none to delete succeeds.

    More matches than may be deleted are refused with 412, as is If-Match where not one alone matches.
    """
    known_type(context, type_)
    return await won(context, lambda: _matches_removed(context, request, type_))


async def _matches_removed(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Delete what matches now; raises Overtaken where it was changed meanwhile: it may match no more."""
    found = await matching(context, request, type_)
    if not found:
        refuse_nothing(request)
        return nothing(request)
    if len(found) == 1:
        return await _removed(context, request, found[0], unchanged(found[0]))
    return await _all_removed(context, request, found)


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
    """Delete several as they were found, all or none; raises Overtaken where one was changed."""
    for version in found:
        demanded(request, version.key, version)
    changes = tuple(deletion(version.key) for version in found)
    await referential.refuse(context, changes)
    guards = tuple(unchanged(version) for version in found)
    return removed(request, await _commit(context, request, changes, guards))


def unchanged(version: Version) -> VersionIs:
    """Give the precondition that a version is still the current one."""
    return VersionIs(version.key, version.version_id)


def deletion(key: Key) -> Change:
    """Give the change that deletes a key."""
    return Change(key, "DELETE", None, no_values())


async def _removed(
    context: Context, request: FhirRequest, existing: Version, *guards: Precondition
) -> FhirResponse:
    key = existing.key
    conditions = (*guards, *demanded(request, key, existing))
    await referential.refuse(context, (deletion(key),))
    return removed(request, await _commit(context, request, (deletion(key),), conditions))


async def _commit(
    context: Context,
    request: FhirRequest,
    changes: Sequence[Change],
    conditions: Sequence[Precondition],
) -> Sequence[Version]:
    try:
        return await context.services.store.commit(changes, conditions)
    except VersionConflict as conflict:
        raise lost(request, conflict) from None


def nothing(request: FhirRequest) -> FhirResponse:
    """Answer a deletion that had nothing to delete, with the outcome that Prefer asks for."""
    return _told(request, FhirResponse(204), "There was nothing to delete")


def _told(request: FhirRequest, done: FhirResponse, text: str) -> FhirResponse:
    """Tell of a deletion in an OperationOutcome where Prefer asks for one."""
    if answer.preferences(request).get("return") != "OperationOutcome":
        return done
    return replace(done, status=200, body=serialise(information(text)))


def removed(request: FhirRequest, versions: Sequence[Version]) -> FhirResponse:
    """Answer a deletion, of one or of several, with the outcome that Prefer asks for."""
    gone = tuple([("DELETE", version.reference) for version in versions])
    if len(versions) > 1:
        several = FhirResponse(204, written=versions[0].updated, changed=gone)
        return _told(request, several, f"{len(versions)} resources were deleted")
    version = versions[0]
    etag = {"ETag": f'W/"{version.version_id}"'}
    done = FhirResponse(204, b"", etag, written=version.updated, changed=gone)
    return _told(request, done, f"Deleted as version {version.version_id}")
