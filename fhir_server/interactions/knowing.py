"""What a search must know before it is lowered: code systems, value sets, resources within resources.

The criteria are lowered with a Recorder first; what they ask is fetched, under the caller's access, and value
sets are expanded, off the event loop, so that lowering finds them ready.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions.terminology import known
from fhir_server.search.expression import And, Branch, Expression, Ids, Or, Plan, Reference
from fhir_server.search.knowledge import MOST_CODES, PARTS, Known, Line, Recorder
from fhir_server.search.parse import Criterion, asks
from fhir_server.search.unknown import UnknownParameter
from fhir_server.store.port import Version
from resources.model import parse
from resources.outcome import TooCostly

_MOST: Final = 5_000


async def knowing(context: Context, types: Sequence[str], criteria: Sequence[Criterion]) -> Context:
    """Give the context with a planner that knows what the criteria ask; the same where they ask nothing."""
    asking = [one for one in criteria if asks(one)]
    if not asking:
        return context
    recorder = Recorder()
    planner = context.services.planner.knowing(recorder)
    for type_ in types:
        for one in asking:
            try:
                planner.expression(type_, one, context.access)
            except UnknownParameter:
                continue
    if not recorder.anything:
        return context
    terminology = await known(context, recorder.value_sets, recorder.systems)
    for value_set in sorted(recorder.value_sets):
        await asyncio.to_thread(terminology.expand, value_set, limit=MOST_CODES)
    lines = {line: await _line(context, line) for line in sorted(recorder.lines)}
    made = context.services.planner.knowing(Known(terminology, lines))
    return replace(context, services=replace(context.services, planner=made))


async def _line(context: Context, line: Line) -> tuple[str, ...]:
    """Give a resource's id and those of all above or below it that the caller may see."""
    type_, id_, way = line
    found, frontier = {id_: None}, [id_]
    while frontier:
        step = _within if way == "below" else _holding
        frontier = [one for one in await step(context, type_, frontier) if one not in found]
        found.update(dict.fromkeys(frontier))
        if len(found) > _MOST:
            raise TooCostly("The hierarchy has too many resources")
    return tuple(found)


async def _within(context: Context, type_: str, ids: Sequence[str]) -> list[str]:
    """Give the ids of what is directly within one of these."""
    where = Or(tuple(Reference(atom, type_, id_) for atom in _atoms(context, type_) for id_ in ids))
    return [version.key.id for version in await _visible(context, type_, where)]


async def _holding(context: Context, type_: str, ids: Sequence[str]) -> list[str]:
    """Give the ids of what directly holds one of these."""
    parameters, atoms = context.services.planner.parameters, _atoms(context, type_)
    return [
        value.id
        for version in await _visible(context, type_, Ids(tuple(ids)))
        for value in parameters.values(parse(version.body or b"{}")).references
        if value.atom in atoms and value.type == type_
    ]


def _atoms(context: Context, type_: str) -> tuple[str, ...]:
    return tuple(a.name for a in context.services.planner.parameter(type_, PARTS[type_]).atoms)


async def _visible(context: Context, type_: str, where: Expression) -> list[Version]:
    allowed = context.services.planner.allowed(type_, context.access, "s")
    plan = Plan(context.tenant, (Branch(type_, And((where, allowed))),), limit=_MOST + 1)
    return [match.version for match in await context.services.store.search(plan)]
