"""Which resource an entry of a transaction writes to, and what guards it (FHIR R4 http.html#trules)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, patch, reach, writing
from fhir_server.interactions.delete import deletion, matching, refuse_absent, unchanged
from fhir_server.interactions.preconditions import demanded, refuse_misplaced, refuse_nothing
from fhir_server.interactions.update import chosen, may_replace, may_write, refuse_id
from fhir_server.message import FhirRequest
from fhir_server.search.expression import And, Expression, Plan
from fhir_server.store.port import Change, Key, NoMatch, Precondition, Version
from resources.model import Resource
from resources.outcome import Invalid


@dataclass(slots=True)
class Step:
    """One entry on its way: its request, where it writes, what it writes, and what guards it.

    `more` is what a conditional delete removes beside the first match. `alike` is the earlier conditional
    create of the same condition, which makes the one that this one finds.
    """

    index: int
    request: FhirRequest
    entry: dict[str, Any]
    key: Key | None = None
    existing: Version | None = None
    change: Change | None = None
    unchanged: bool = False
    more: list[Change] = field(default_factory=list)
    guards: list[Precondition] = field(default_factory=list)
    alike: "Step | None" = None


Known = Mapping[Key, Version]
"""What the store has under the ids that entries update."""

Conditions = dict[tuple[str, frozenset[Expression]], Step]
"""By type and what a condition asks, in whatever words, the first entry that makes what is to match it."""


_TYPE_AND_ID = 2
_UNFIT = "The entry's url does not fit its method"
_NO_ENTRIES: Mapping[str, str] = {
    "": "A transaction carries out no other Bundle",
    "$": "An operation in a transaction is a GET",
    "_": "A search in a transaction is a GET",
}
"""What a POST is of by the first letter of its last part, where it is none to create."""


def place(step: Step) -> str:
    """Give where an entry stands in its Bundle, as an expression."""
    return f"Bundle.entry[{step.index}]"


async def known(context: Context, steps: Sequence[Step]) -> Known:
    """Give the live versions under the ids that some entries update, read at once."""
    paths = (step.request.path.split("/") for step in steps if step.request.method == "PUT")
    keys = [answer.key(context, *path) for path in paths if len(path) == _TYPE_AND_ID]
    found = await context.services.store.read_many(keys) if keys else ()
    return {version.key: version for version in found}


async def identify(context: Context, step: Step, conditions: Conditions, there: Known) -> None:
    """Find the key that an entry writes to, by its URL, its condition or a new id."""
    parts = step.request.path.split("/")
    _refuse_place(step, parts)
    writing.known_type(context, parts[0])
    refuse_misplaced(step.request)
    if len(parts) > 1 or step.request.method == "POST":
        answer.only(context, step.request)
    match step.request.method, parts:
        case "POST", [type_]:
            await _create(context, step, type_, conditions)
        case "PUT", [type_, id_]:
            refuse_id(type_, id_)
            step.key = answer.key(context, type_, id_)
            step.existing = await may_replace(context, step.key, there.get(step.key))
            _guard(step)
        case "PUT", [type_] if step.request.query:
            await _conditional_update(context, step, type_, conditions)
        case "PATCH", [type_, id_]:
            await _patch(context, step, answer.key(context, type_, id_))
        case "PATCH", [type_] if step.request.query:
            key, guard = await patch.matching(context, step.request, type_)
            step.guards.append(guard)
            await _patch(context, step, key)
        case "DELETE", [type_, id_]:
            await _delete(context, step, answer.key(context, type_, id_))
        case "DELETE", [type_] if step.request.query:
            await _conditional_delete(context, step, type_)
        case _:
            raise _misplaced(step, _UNFIT)


def _refuse_place(step: Step, parts: Sequence[str]) -> None:
    """Refuse what writes no resource, before its place is taken for a type of one."""
    if parts[-1][:1] in {"", "$", "_"}:
        told = _NO_ENTRIES.get(parts[-1][:1], _UNFIT) if step.request.method == "POST" else _UNFIT
        raise _misplaced(step, told)


def _misplaced(step: Step, told: str) -> Invalid:
    return Invalid(told, expression=f"{place(step)}.request.url")


async def _create(context: Context, step: Step, type_: str, conditions: Conditions) -> None:
    context.require(type_, "c")
    condition = step.request.headers.get("if-none-exist")
    if condition is not None:
        plan = await conditional.plan(context, type_, condition)
        step.existing = await conditional.one(context, plan)
        if step.existing is not None:
            step.key, step.unchanged = step.existing.key, True
            return
        step.alike = _first(conditions, step, plan)
        if step.alike is not None:
            step.key, step.unchanged = step.alike.key, True
            return
        step.guards.append(NoMatch(plan))
    step.key = answer.key(context, type_, context.services.new_id())


def _first(conditions: Conditions, step: Step, plan: Plan) -> Step | None:
    """Give the earlier entry that makes what matches the same condition; None where this is the first.

    Nothing matches as yet, so each of them would make one of its own. Creates use the first one's; an update
    would write to what another entry writes. Raises Invalid naming both.
    """
    (branch,) = plan.branches
    parts = branch.where.parts if isinstance(branch.where, And) else (branch.where,)
    first = conditions.setdefault((branch.type, frozenset(parts)), step)
    if first is step:
        return None
    if step.request.method != "POST":
        raise _overlap(first.index, step)
    return first


async def _conditional_update(
    context: Context, step: Step, type_: str, conditions: Conditions
) -> None:
    context.require(type_, "s")
    context.refuse_to_alter(type_)
    plan = await conditional.plan_of(context, type_, step.request.query)
    match = await conditional.one(context, plan)
    if match is None:
        _first(conditions, step, plan)
    body = body_of(step)
    step.key = chosen(context, body, type_, match)
    fresh = match is None and "id" not in body
    step.existing = await may_write(context, step.key, fresh=fresh)
    step.guards.append(NoMatch(plan, apart_from=step.key))
    _guard(step)


def _guard(step: Step) -> None:
    """Take in what If-Match and If-None-Match ask of an entry whose key and version are found."""
    if step.key is None:
        return
    step.guards += demanded(step.request, step.key, step.existing)


async def _patch(context: Context, step: Step, key: Key) -> None:
    step.key, step.existing = key, await patch.current(context, step.request, key)
    step.guards.append(unchanged(step.existing))


async def _delete(context: Context, step: Step, key: Key) -> None:
    step.key, step.existing = key, await reach.current(context, key, "d")
    if step.existing is None:
        refuse_absent(context, step.request, key.type)
        step.unchanged = True
        return
    step.change = deletion(key)
    _guard(step)


async def _conditional_delete(context: Context, step: Step, type_: str) -> None:
    found = await matching(context, step.request, type_)
    if not found:
        refuse_nothing(step.request)
        step.unchanged = True
    for version in found[:1]:
        step.key, step.existing, step.change = version.key, version, deletion(version.key)
        _guard(step)
    for version in found[1:]:
        demanded(step.request, version.key, version)
    step.more = [deletion(version.key) for version in found[1:]]
    step.guards += [unchanged(version) for version in found]


def body_of(step: Step) -> Resource:
    """Give the resource of an entry that writes one; raises Invalid where there is none."""
    resource = step.entry.get("resource")
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise Invalid("The entry needs a resource", expression=f"{place(step)}.resource")
    return resource


def refuse_overlap(steps: Sequence[Step]) -> None:
    """Refuse two entries that write to one identity, naming both.

    A conditional create that found its resource writes nothing, but needs that nothing deletes it.
    """
    seen: dict[Key, int] = {}
    gone = deleted(steps)
    for step in steps:
        found_only = step.unchanged and step.request.method == "POST"
        if step.key is None or (found_only and step.key not in gone):
            continue
        for key in keys_of(step):
            if key in seen:
                raise _overlap(seen[key], step)
            seen[key] = step.index


def keys_of(step: Step) -> Sequence[Key]:
    """Give the keys that an entry writes to, or has found to be there already."""
    first = () if step.key is None else (step.key,)
    return (*first, *(change.key for change in step.more))


def changes_of(step: Step) -> Sequence[Change]:
    """Give what an entry writes, none where there is nothing to write."""
    return () if step.change is None else (step.change, *step.more)


def deleted(steps: Iterable[Step]) -> frozenset[Key]:
    """Give the keys that entries delete."""
    return frozenset(
        key for step in steps if step.request.method == "DELETE" for key in keys_of(step)
    )


def _overlap(other: int, step: Step) -> Invalid:
    first, second = sorted((other, step.index))
    return Invalid(
        f"Entries {first} and {second} write to the same resource", expression=place(step)
    )
