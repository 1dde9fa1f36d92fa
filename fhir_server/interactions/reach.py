"""Single resources within the caller's access: the same plan decides as in a search."""

from typing import Any

import msgspec

from fhir_server.access import Letter
from fhir_server.context import Context
from fhir_server.search.expression import And, Branch, Ids, Plan
from fhir_server.search.match import Candidate, matches
from fhir_server.search.values import IndexValues
from fhir_server.store.port import Change, Key, Version
from resources.model import parse
from resources.outcome import Forbidden

_BINARY = "Binary"
_TYPE_AND_ID = 2


class _Secured(msgspec.Struct):
    """What of a Binary says who may read it."""

    securityContext: dict[str, Any] = {}  # noqa: N815 - FHIR's name


async def current(context: Context, key: Key, letter: Letter) -> Version | None:
    """Give the current version if the caller may reach it, a deletion only to callers without limits.

    Raises Forbidden where no scope speaks of the type; what is out of reach is absent.
    """
    context.require(key.type, letter)
    if context.access.unlimited(key.type, letter):
        return await context.services.store.read(key)
    where = context.services.planner.allowed(key.type, context.access, letter)
    plan = Plan(context.tenant, (Branch(key.type, And((Ids((key.id,)), where))),), limit=1)
    found = await context.services.store.search(plan)
    if found or key.type != _BINARY or letter != "r":
        return found[0].version if found else None
    version = await context.services.store.read(key)
    return version if version and await _lent(context, version.body) else None


async def visible(context: Context, version: Version, letter: Letter) -> bool:
    """Tell whether a past version is within reach: its resource is now, and so were its own contents."""
    if context.access.unlimited(version.key.type, letter):
        return True
    if version.body is None or await current(context, version.key, letter) is None:
        return False
    if version.key.type == _BINARY and await _lent(context, version.body):
        return True
    values = context.services.planner.parameters.values(parse(version.body))
    return _admitted(context, version.key, version.updated, values, letter)


async def _lent(context: Context, body: bytes | None) -> bool:
    """Tell whether a Binary's securityContext names what the caller may read (binary.html#security)."""
    if body is None:
        return False
    named = msgspec.json.decode(body, type=_Secured).securityContext.get("reference")
    parts = str(named or "").removeprefix(f"{context.base}/").split("/")
    if len(parts) < _TYPE_AND_ID or parts[0] not in context.services.definitions.resource_types:
        return False
    if parts[0] == _BINARY or not context.access.grants_for(parts[0], "r"):
        return False
    version = await current(context, Key(context.tenant, parts[0], parts[1]), "r")
    return version is not None and version.body is not None


def refuse_out_of_reach(context: Context, change: Change, letter: Letter) -> None:
    """Refuse to write contents that the caller's limits do not cover; raises Forbidden."""
    if not _admitted(context, change.key, context.services.clock(), change.values, letter):
        raise Forbidden("The token's scopes do not cover this content")


def _admitted(
    context: Context, key: Key, updated: int, values: IndexValues, letter: Letter
) -> bool:
    if context.access.unlimited(key.type, letter):
        return True
    where = context.services.planner.allowed(key.type, context.access, letter)
    return matches(where, Candidate(key.type, key.id, updated, values), _ALONE)


class _Alone:
    """No other resources: limits that need a chain are not met by contents alone, so they fail closed."""

    def find(self, type: str) -> tuple[Candidate, ...]:
        """Give nothing."""
        del type
        return ()

    def get(self, type: str, id: str) -> Candidate | None:
        """Give nothing."""
        del type, id
        return None


_ALONE = _Alone()
