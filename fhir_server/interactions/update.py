"""Interaction update, as create and conditional too: https://hl7.org/fhir/R4/http.html#update"""

import re

from fhir_server.access import Letter
from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential
from fhir_server.interactions.preconditions import demanded, lost
from fhir_server.interactions.racing import Overtaken, won
from fhir_server.interactions.writing import change, of_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    NoMatch,
    Precondition,
    Version,
    VersionConflict,
)
from resources import model, summary
from resources.model import Resource
from resources.outcome import Conflict, Invalid, NotFound, Unprocessable

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_DOTS = frozenset({".", ".."})


async def update(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Store a new version under the URL's id, or create it there; If-Match makes it version-aware."""
    answer.only(context, request)
    resource = _resource(context, request, type_)
    refuse_id(type_, id_)
    if resource.get("id") != id_:
        raise Invalid("The body's id is not the URL's", expression=f"{type_}.id")
    key = answer.key(context, type_, id_)

    async def attempt() -> FhirResponse:
        existing = await may_write(context, key)
        return await _put(context, request, key, dict(resource), existing, ())

    return await won(context, attempt)


async def conditional_update(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Update the one match, create where nothing matches; raises PreconditionFailed where several do."""
    resource = _resource(context, request, type_)
    context.require(type_, "s")
    context.refuse_to_alter(type_)
    plan = await conditional.plan_of(context, type_, request.query)

    async def attempt() -> FhirResponse:
        match = await conditional.one(context, plan)
        key = chosen(context, resource, type_, match)
        fresh = match is None and "id" not in resource
        existing = await may_write(context, key, fresh=fresh)
        guard = NoMatch(plan, apart_from=key)
        return await _put(context, request, key, dict(resource), existing, (guard,))

    return await won(context, attempt)


def refuse_id(type_: str, id_: object) -> None:
    """Refuse an id that no resource may be given; raises Invalid.

    R4 has `.` and `..` as ids, but in a URL they are no segments of a path (RFC 3986 3.3): whoever resolves
    it goes elsewhere.
    """
    if not (isinstance(id_, str) and _ID.match(id_)):
        raise Invalid("An id has 1 to 64 letters, digits, '-' and '.'", expression=f"{type_}.id")
    if id_ in _DOTS:
        raise Invalid("An id is not '.' or '..': it would be no place", expression=f"{type_}.id")


def chosen(context: Context, resource: Resource, type_: str, match: Version | None) -> Key:
    """Give the key that a conditional update writes to: the match's, else the body's id, else a new one."""
    own = resource.get("id")
    if own is not None:
        refuse_id(type_, own)
    if match is None:
        return answer.key(context, type_, own or context.services.new_id())
    if own is not None and own != match.key.id:
        raise Invalid("The body's id is not that of the resource that matches")
    return match.key


def _resource(context: Context, request: FhirRequest, type_: str) -> Resource:
    resource = model.received(request.body)
    of_type(context, resource, type_)
    return resource


async def may_write(context: Context, key: Key, *, fresh: bool = False) -> Version | None:
    """Give the live version that is to be written over, or None; refuses what access does not allow.

    Callers with limits create under ids of ours only (`fresh`), or they could tell which ids are taken.
    """
    return await may_replace(context, key, await context.services.store.read(key), fresh=fresh)


async def may_replace(
    context: Context, key: Key, existing: Version | None, *, fresh: bool = False
) -> Version | None:
    """Give what `may_write` gives, of a key whose version was just read."""
    if existing is None or existing.body is None:
        letter: Letter = "u" if context.access.grants_for(key.type, "u") else "c"
        context.require(key.type, letter)
        if not fresh and not context.access.granted(key.type, letter):
            raise NotFound("There is no such resource, or it is out of this token's reach")
        return None
    if not await reach.reached(context, existing, "u"):
        raise NotFound("There is no such resource, or it is out of this token's reach")
    return existing


async def _put(
    context: Context,
    request: FhirRequest,
    key: Key,
    resource: Resource,
    existing: Version | None,
    guards: tuple[Precondition, ...],
) -> FhirResponse:
    """Check and write; raises Overtaken where another writer came first."""
    conditions = (*guards, *demanded(request, key, existing))
    written = change(context, key, "PUT", resource)
    refuse_part(resource, existing)
    reach.refuse_out_of_reach(context, written, "u" if existing else "c")
    if "if-match" not in request.headers and same(context, written, existing):
        return answer.stored(context, request, existing_of(existing), 200)
    await referential.refuse(context, (written,))
    try:
        version = (await context.services.store.commit((written,), conditions))[0]
    except MatchConflict:
        raise Overtaken from None
    except VersionConflict as conflict:
        raise lost(request, conflict) from None
    return answer.stored(context, request, version, 200 if existing else 201)


def same(context: Context, written: Change, existing: Version | None) -> bool:
    """Tell whether our own edge would write what is there already (the HTTP door always makes a version)."""
    if not context.keep_unchanged or existing is None or written.body is None:
        return False
    return written.body.at(existing.version_id, existing.updated) == existing.body


def refuse_part(resource: Resource, existing: Version | None) -> None:
    """Refuse to write over a whole resource what _summary or _elements left of it (search.html#summary).

    A part that was stored as such may be followed by another. Raises Unprocessable.
    """
    tags = resource.get("meta", {}).get("tag", ())
    if not tags or existing is None or b'"SUBSETTED"' in (existing.body or b""):
        return
    if any(tag.get("code") == summary.SUBSETTED for tag in tags):
        raise Unprocessable(
            "The resource is tagged SUBSETTED, so parts of it are missing: read it whole, and change that",
            expression=f"{resource['resourceType']}.meta.tag",
        )


def existing_of(version: Version | None) -> Version:
    """Give a version that is known to be there."""
    if version is None:
        raise Conflict("The resource went away meanwhile")
    return version
