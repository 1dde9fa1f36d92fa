"""A page of a search as it was ordered when the search began, whatever is written meanwhile.

What was there all the time is shown exactly once: it keeps the place that it had when the first page was
made, also if it was changed since. What came later is not shown, what no longer matches neither. Of what
was changed the current version is shown.
"""

from collections.abc import Sequence
from functools import cmp_to_key

from msgspec import Struct
from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.search.alone import ALONE
from fhir_server.search.expression import And, Branch, Cursor, Plan, Updated
from fhir_server.search.match import Candidate, sort_keys
from fhir_server.search.order import Order
from fhir_server.store.port import Match, Page, Scope, Version
from resources.model import parse

MOST_CHANGED = 1_000
"""With more changes among what is searched, pages go by the current order: only the unchanged are sure."""
_ATTEMPTS = 2


class Found(Struct, frozen=True):
    """Matches in the plan's order, whether there are more, and the position that the search is pinned to."""

    matches: Sequence[Match]
    more: bool
    position: int


async def found(context: Context, plan: Plan, limit: int, position: int | None) -> Found:
    """Give `limit` matches after the plan's cursor, pinned to a position (None: to now)."""
    store, wanted = context.services.store, replace(plan, limit=limit + 1)
    for _ in range(1 if position is not None else _ATTEMPTS):
        pin = await store.position() if position is None else position
        matches = await store.search(wanted)
        alone = position is None and len(matches) <= limit
        if alone or _loose(plan) or await store.position() == pin:
            break
    else:
        matches = await _pinned(context, wanted, limit + 1, pin)
    return Found(matches[:limit], len(matches) > limit, pin)


def _loose(plan: Plan) -> bool:
    """Tell whether the order goes by other resources: then it is always the current one."""
    return any(key.through for key in plan.sort)


async def _pinned(context: Context, plan: Plan, most: int, position: int) -> Sequence[Match]:
    """Give the matches that were not changed since, and, at their former places, those that were."""
    still = await _still(context, plan, most, position)
    changed = await _changed(context, plan, position)
    if changed is None:
        return await context.services.store.search(plan)
    compare, after = Order(plan).compare, plan.after
    by_key = {match.version.key: match for match in still}
    for match in changed:
        if after is None or compare(Cursor(match.keys, match.place), after) > 0:
            by_key[match.version.key] = match
    place = cmp_to_key(compare)
    ordered = sorted(by_key.values(), key=lambda match: place(Cursor(match.keys, match.place)))
    return ordered[:most]


async def _still(context: Context, plan: Plan, most: int, position: int) -> list[Match]:
    kept: list[Match] = []
    while True:
        batch = await context.services.store.search(plan)
        kept += [match for match in batch if match.version.position <= position]
        if len(batch) < most or len(kept) >= most:
            return kept
        plan = replace(plan, after=Cursor(batch[-1].keys, batch[-1].place))


async def _changed(context: Context, plan: Plan, position: int) -> list[Match] | None:
    """Give what matches and was changed since, with the keys of then; None if it is too much."""
    store = context.services.store
    newest = await store.history(Scope(plan.tenant), Page(1, before=position + 1))
    since = newest[0].updated if newest else 0
    recent = Updated("ge", since, since)
    branches = tuple(Branch(b.type, And((b.where, recent))) for b in plan.branches)
    changed = Plan(plan.tenant, branches, limit=MOST_CHANGED + 1)
    matches = await store.search(changed)
    if len(matches) > MOST_CHANGED:
        return None
    moved = [await _moved(context, plan, match, position) for match in matches]
    return [match for match in moved if match is not None]


async def _moved(context: Context, plan: Plan, match: Match, position: int) -> Match | None:
    """Give a match with the keys that it had at a position; None for what was not there."""
    current = match.version
    if current.position > position and current.version_id == 1:
        return None
    former: Version | None = current
    if current.position > position:
        key = current.key
        scope = Scope(key.tenant, key.type, key.id)
        past = await context.services.store.history(scope, Page(1, before=position + 1))
        former = past[0] if past and past[0].body is not None else None
    return None if former is None else Match(current, _keys(context, plan, former), match.place)


def _keys(context: Context, plan: Plan, former: Version) -> tuple[int | str | float | None, ...]:
    parameters = context.services.planner.parameters

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return None if atom is None else atom.name

    values = parameters.values(parse(former.body or b""))
    candidate = Candidate(former.key.type, former.key.id, former.updated, values)
    return sort_keys(plan.sort, candidate, clinical, ALONE)
