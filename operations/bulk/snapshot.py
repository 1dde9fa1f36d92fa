"""What a type held at one instant, read page by page while others write (Bulk Data 2.0, transactionTime).

First the current versions that are no newer than the instant; then, of what changed meanwhile, the
versions that were current at the instant. So a write during an export neither doubles nor loses a resource.
"""

from collections.abc import AsyncIterator, Collection

from msgspec import Struct, structs

from fhir_server.access import Access
from fhir_server.context import Context
from fhir_server.interactions import reach
from fhir_server.search.expression import (
    ALWAYS,
    And,
    Branch,
    Cursor,
    Expression,
    Linked,
    Not,
    Or,
    Plan,
)
from fhir_server.search.expression import Updated as UpdatedAt
from fhir_server.search.values import MAX_INSTANT
from fhir_server.store.port import Key, Page, Scope, Version
from resources.model import parse

_FIRST = 10
_MOST = 500
_BYTES = 4 << 20
_HISTORY = 100


class Asked(Struct, frozen=True):
    """A type of a tenant at an instant (ms since 1970 UTC).

    `since` leaves out what was last updated before it; `of_patients` all that is in no Patient's compartment;
    `access` what labels and Consents withhold from who asked.
    """

    tenant: str
    type: str
    at: int
    since: int | None = None
    of_patients: bool = False
    access: Access | None = None


async def pages(context: Context, asked: Asked) -> AsyncIterator[list[bytes]]:
    """Give the JSON of the current versions that are no newer than the instant, some megabytes at a time."""
    plan = Plan(asked.tenant, (Branch(asked.type, _where(context, asked)),), limit=_FIRST)
    while True:
        found = await context.services.store.search(plan)
        bodies = [match.version.body or b"" for match in found]
        yield bodies
        if len(found) < (plan.limit or 0):
            return
        size = max(1, sum(map(len, bodies)) // len(bodies))
        limit = max(1, min(_MOST, _BYTES // size))
        plan = structs.replace(plan, limit=limit, after=Cursor(found[-1].keys, found[-1].place))


async def changed(context: Context, asked: Asked) -> set[str]:
    """Give the ids of what was written or deleted after the instant."""
    ids: set[str] = set()
    page = Page(_HISTORY, since=asked.at + 1)
    while True:
        found = await context.services.store.history(Scope(asked.tenant, asked.type), page)
        ids.update(version.key.id for version in found)
        if len(found) < _HISTORY:
            return ids
        page = structs.replace(page, before=found[-1].position)


async def then(context: Context, asked: Asked, ids: Collection[str]) -> AsyncIterator[bytes]:
    """Give the JSON of the versions of these ids that were current at the instant, and are asked for."""
    page = Page(1, until=asked.at + 1)
    for id_ in sorted(ids):
        scope = Scope(asked.tenant, asked.type, id_)
        for version in await context.services.store.history(scope, page):
            if version.body is not None and await _asked_for(context, asked, version):
                yield version.body


def _where(context: Context, asked: Asked) -> Expression:
    parts: list[Expression] = [UpdatedAt("le", asked.at, asked.at)]
    if asked.since is not None:
        parts.append(UpdatedAt("ge", asked.since, MAX_INSTANT))
    if asked.of_patients and asked.type != "Patient":
        atoms = sorted(_atoms(context, asked.type))
        parts.append(Or(tuple(Linked(atom, "Patient", ALWAYS) for atom in atoms)))
    if asked.access is not None and asked.access.withholds(asked.type):
        parts.append(Not(context.services.planner.withheld(asked.type, asked.access)))
    return And(tuple(parts))


def _atoms(context: Context, type_: str) -> set[str]:
    """Give the references that place a type in a Patient's compartment."""
    members = context.services.planner.parameters.compartment("Patient", type_)
    return {atom.name for parameter in members for atom in parameter.atoms}


async def _asked_for(context: Context, asked: Asked, version: Version) -> bool:
    if asked.since is not None and version.updated < asked.since:
        return False
    if asked.access is not None:
        theirs = structs.replace(context, access=asked.access)
        if not reach.is_open(theirs, version):
            return False
    if not asked.of_patients or asked.type == "Patient":
        return True
    atoms = _atoms(context, asked.type)
    values = context.services.planner.parameters.values(parse(version.body or b""))
    keys = [
        Key(asked.tenant, "Patient", reference.id)
        for reference in values.references
        if reference.atom in atoms and reference.type == "Patient"
    ]
    return bool(await context.services.store.read_many(keys))
