"""A conditional URL to none or one match: https://hl7.org/fhir/R4/http.html#ccreate"""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from fhir_server import percent
from fhir_server.context import Context
from fhir_server.interactions.knowing import knowing
from fhir_server.search import limits, parse
from fhir_server.search.expression import And, Branch, Plan
from fhir_server.store.port import Version
from resources.outcome import Invalid, PreconditionFailed

MANY = 2
USUAL = 100
"""How many a conditional delete may remove where several are allowed and _count is not given."""
MOST = 10_000
"""The largest _count of a conditional delete."""


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Decode the query of a conditional header or URL, `?` and a type before it allowed.

    Raises Invalid for what is not percent-encoded UTF-8.
    """
    try:
        return percent.pairs(_parted(text)[1])
    except ValueError:
        raise Invalid("The condition is not percent-encoded UTF-8") from None


def _parted(text: str) -> tuple[str, str]:
    """Give what stands before the query, and the query; a `?` may also be within a value."""
    before, mark, query = text.partition("?")
    return (before, query) if mark and "=" not in before else ("", text)


async def plan(context: Context, type_: str, text: str) -> Plan:
    """Give the plan of a conditional query under the caller's access; raises Invalid for an empty one.

    A type may stand before the query, but no other than the one that it is for.
    """
    named = context.below(_parted(text)[0]).strip("/")
    if named not in {"", type_}:
        raise Invalid(f"The condition is for another type than {type_}", issue="value")
    return await plan_of(context, type_, pairs(text))


async def plan_of(context: Context, type_: str, query: tuple[tuple[str, str], ...]) -> Plan:
    """Give the plan of conditional query pairs; result parameters have no place in them."""
    asked = parse.parse(query)
    if not asked.criteria or asked.controls or asked.cursor:
        raise Invalid("A conditional interaction needs search criteria and takes nothing else")
    criteria = [one.criterion for one in asked.criteria]
    context = await knowing(context, (type_,), criteria)
    planned = context.services.planner.plan
    if asked.values > limits.AT_ONCE:
        return await asyncio.to_thread(planned, context.tenant, type_, criteria, context.access)
    return planned(context.tenant, type_, criteria, context.access)


async def one(context: Context, plan_: Plan) -> Version | None:
    """Give the single match or None; raises PreconditionFailed where several match."""
    found = await context.services.store.search(replace(plan_, limit=MANY))
    if len(found) > 1:
        raise PreconditionFailed("Several resources match the condition", issue="multiple-matches")
    return found[0].version if found else None


async def several(
    context: Context, type_: str, query: tuple[tuple[str, str], ...]
) -> Sequence[Version]:
    """Give every match that the caller may delete, at most as many as _count says.

    Raises PreconditionFailed where there are more, Invalid for a _count that is no whole number above 0.
    """
    rest = tuple(pair for pair in query if pair[0] != "_count")
    most = _most([value for name, value in query if name == "_count"])
    plan_ = await plan_of(context, type_, rest)
    mine = context.services.planner.allowed(type_, context.access, "d")
    branches = tuple(Branch(b.type, And((b.where, mine))) for b in plan_.branches)
    found = await context.services.store.search(replace(plan_, branches=branches, limit=most + 1))
    if len(found) > most:
        raise PreconditionFailed(
            f"More than {most} resources match; _count may allow more, up to {MOST}",
            issue="multiple-matches",
        )
    return [match.version for match in found]


def _most(counts: Sequence[str]) -> int:
    if not counts:
        return USUAL
    text = counts[0]
    if len(counts) > 1 or not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= MOST:
        raise Invalid(f"_count of a conditional delete is 1 to {MOST}", issue="value")
    return int(text)
