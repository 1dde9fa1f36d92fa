"""Interaction delete, conditional delete included: https://hl7.org/fhir/R4/http.html#delete"""

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential
from fhir_server.interactions.update import expected, stale
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.values import no_values
from fhir_server.store.port import Change, Key, Version, VersionConflict, VersionIs
from resources.outcome import NotFound


async def delete(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Delete the current version; deleting what is deleted succeeds again, what never was is 404."""
    known_type(context, type_)
    answer.only(context, request)
    key = answer.key(context, type_, id_)
    existing = await reach.current(context, key, "d")
    if existing is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    return await _removed(context, request, key)


async def conditional_delete(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Delete the one match; nothing to delete succeeds, several matches are refused with 412."""
    known_type(context, type_)
    context.require(type_, "d")
    context.require(type_, "s")
    match = await conditional.one(context, conditional.plan_of(context, type_, request.query))
    if match is None or await reach.current(context, match.key, "d") is None:
        return FhirResponse(204)
    return await _removed(context, request, match.key)


def deletion(key: Key) -> Change:
    """Give the change that deletes a key."""
    return Change(key, "DELETE", None, no_values())


async def _removed(context: Context, request: FhirRequest, key: Key) -> FhirResponse:
    wanted = expected(request)
    await referential.refuse(context, (deletion(key),))
    guard = () if wanted is None else (VersionIs(key, wanted),)
    try:
        version = (await context.services.store.commit((deletion(key),), guard))[0]
    except VersionConflict as conflict:
        raise stale(conflict) from None
    return removed(version)


def removed(version: Version) -> FhirResponse:
    """Answer a deletion."""
    return FhirResponse(204, b"", {"ETag": f'W/"{version.version_id}"'})
