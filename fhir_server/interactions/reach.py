"""Single resources within the caller's access: the same plan decides as in a search."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fhir_server.access import Letter
from fhir_server.context import Context
from fhir_server.search.alone import ALONE
from fhir_server.search.expression import And, Branch, Ids, Or, Plan, Uri
from fhir_server.search.grants import CONFIDENTIALITY
from fhir_server.search.match import Candidate, matches
from fhir_server.search.values import IndexValues
from fhir_server.store.port import Change, Key, Version
from resources.model import parse
from resources.outcome import Forbidden

_BINARY = "Binary"
_OWNER = "DocumentReference"
_TYPE_AND_ID = 2
_LABEL = CONFIDENTIALITY.encode()


class _Secured(msgspec.Struct):
    """What of a Binary says who may read it."""

    securityContext: dict[str, Any] = {}  # noqa: N815 - FHIR's name


async def current(context: Context, key: Key, letter: Letter) -> Version | None:
    """Give the current version if the caller may reach it, a deletion only to callers without limits.

    Raises Forbidden where no scope speaks of the type; what is out of reach is absent.
    """
    context.require(key.type, letter)
    if letter == "u":
        context.refuse_to_alter(key.type)
    if context.access.granted(key.type, letter):
        version = await context.services.store.read(key)
        return version if version is None or is_open(context, version) else None
    where = context.services.planner.allowed(key.type, context.access, letter)
    plan = Plan(context.tenant, (Branch(key.type, And((Ids((key.id,)), where))),), limit=1)
    found = await context.services.store.search(plan)
    if found or key.type != _BINARY or letter != "r":
        return found[0].version if found else None
    version = await context.services.store.read(key)
    if version is None or version.body is None or not is_open(context, version):
        return None
    return version if await _lent(context, key, version.body) else None


async def reached(context: Context, version: Version, letter: Letter) -> bool:
    """Tell whether the caller may reach a current version that was just read; raises as `current` does."""
    if not context.access.granted(version.key.type, letter):
        return await current(context, version.key, letter) is not None
    if letter == "u":
        context.refuse_to_alter(version.key.type)
    return is_open(context, version)


async def visible(context: Context, version: Version, letter: Letter) -> bool:
    """Tell whether a past version is within reach: its resource is now, and so were its own contents."""
    access, type_ = context.access, version.key.type
    if access.unlimited(type_, letter):
        return True
    if access.granted(type_, letter):
        return is_open(context, version) and await current(context, version.key, letter) is not None
    if version.body is None or not context.access.grants_for(version.key.type, letter):
        return False
    if await current(context, version.key, letter) is None:
        return False
    if type_ == _BINARY:
        return await _lent(context, version.key, version.body)
    values = context.services.planner.parameters.values(parse(version.body))
    return _admitted(context, version.key, version.updated, values, letter)


async def by_id(context: Context, type_: str, ids: tuple[str, ...]) -> Sequence[Version]:
    """Give the resources of a type with these ids that the caller may read; absent without grants."""
    if context.access.granted(type_, "r"):
        keys = tuple(Key(context.tenant, type_, id_) for id_ in ids)
        found = await context.services.store.read_many(keys)
        return [version for version in found if is_open(context, version)]
    where = And((Ids(ids), context.services.planner.allowed(type_, context.access, "r")))
    matched = await context.services.store.search(Plan(context.tenant, (Branch(type_, where),)))
    return [match.version for match in matched]


def is_open(context: Context, version: Version) -> bool:
    """Tell whether neither labels nor Consents keep a version from a caller whose grants cover its type."""
    access, type_, body = context.access, version.key.type, version.body
    if body is None or not access.withholds(type_):
        return True
    labelled = access.clearance != "V" and _LABEL in body
    if not labelled and not any(one.patient.encode() in body for one in access.withheld):
        return True
    values = context.services.planner.parameters.values(parse(body))
    where = context.services.planner.withheld(type_, access)
    return not matches(where, Candidate(type_, version.key.id, version.updated, values), ALONE)


async def _attached(context: Context, key: Key) -> bool:
    """Tell whether a DocumentReference that the caller may read has a Binary as its content."""
    owner = context.services.planner.parameters.get(_OWNER, "location")
    if owner is None or not context.access.grants_for(_OWNER, "r"):
        return False
    places = (key.reference, *(f"{base}/{key.reference}" for base in context.bases))
    named = Or(tuple(Uri(atom.name, place) for atom in owner.atoms for place in places))
    allowed = context.services.planner.allowed(_OWNER, context.access, "r")
    plan = Plan(context.tenant, (Branch(_OWNER, And((named, allowed))),), limit=1)
    return bool(await context.services.store.search(plan))


async def refuse_borrowed(context: Context, change: Change) -> None:
    """Refuse to attach a Binary that the caller may not read: it would lend it to itself.

    Raises Forbidden, whether there is one or not.
    """
    if change.key.type != _OWNER or context.access.granted(_BINARY, "r"):
        return
    for value in change.values.uris:
        place = context.below(value.value)
        kind, _, id_ = place.partition("/")
        if kind == _BINARY and not await _readable(context, id_):
            raise Forbidden("The content that is attached is out of this token's reach")


async def _readable(context: Context, id_: str) -> bool:
    if not context.access.grants_for(_BINARY, "r"):
        return False
    return await current(context, Key(context.tenant, _BINARY, id_), "r") is not None


async def _lent(context: Context, key: Key, body: bytes | None) -> bool:
    """Tell whether a Binary's securityContext names what the caller may read (binary.html#security).

    One without is for those who may read a document that it is the content of.
    """
    if body is None:
        return False
    context_of = msgspec.json.decode(body, type=_Secured).securityContext
    if not context_of:
        return await _attached(context, key)
    named = context_of.get("reference")
    parts = context.below(str(named or "")).split("/")
    if len(parts) < _TYPE_AND_ID or parts[0] not in context.services.definitions.resource_types:
        return False
    if parts[0] == _BINARY or not context.access.grants_for(parts[0], "r"):
        return False
    version = await current(context, Key(context.tenant, parts[0], parts[1]), "r")
    return version is not None and version.body is not None


def refuse_out_of_reach(context: Context, change: Change, letter: Letter) -> None:
    """Refuse to write contents that the caller's limits do not cover; raises Forbidden."""
    if context.access.unlimited(change.key.type, letter):
        return
    if not _admitted(context, change.key, context.services.clock(), change.values, letter):
        raise Forbidden("The token's scopes do not cover this content")


def _admitted(
    context: Context, key: Key, updated: int, values: IndexValues, letter: Letter
) -> bool:
    if context.access.unlimited(key.type, letter):
        return True
    where = context.services.planner.allowed(key.type, context.access, letter)
    return matches(where, Candidate(key.type, key.id, updated, values), ALONE)
