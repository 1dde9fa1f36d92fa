"""The terminology of a tenant: the code systems and value sets that it stores, before R4's own.

What is asked for is read each time, so that a change counts at once; each version is compiled once.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.held import held
from conformance.terminology.port import Terminology
from conformance.terminology.stored import Definition
from conformance.terminology.value_set import ValueSet, implicit
from fhir_server.context import Context
from fhir_server.search.expression import Branch, Expression, Ids, Or, Plan, Uri
from fhir_server.store.port import Version
from resources import reference
from resources.outcome import TooCostly

_SET: Final = "ValueSet"
_SYSTEM: Final = "CodeSystem"
_MOST: Final = 1_000
_DEEPEST: Final = 20
_SMALL: Final = 100_000

Names = tuple[frozenset[str], frozenset[str]]
"""Urls of value sets (or `ValueSet/id`), and of code systems."""


async def known(
    context: Context, value_sets: Iterable[str] = (), systems: Iterable[str] = ()
) -> Terminology:
    """Give a terminology that has these canonicals, and all that they draw on, as far as they are held.

    The tenant's code systems and value sets are open to all who may search it. Raises TooCostly where one
    draws on too many others.
    """
    found: dict[object, Definition] = {}
    seen: Names = (frozenset(), frozenset())
    wanted: Names = (frozenset(map(_url, value_sets)), frozenset(map(_url, systems)))
    for _ in range(_DEEPEST):
        if not any(wanted):
            return context.services.compiled.terminology(list(found.values()))
        for one in await _stored(context, wanted):
            found[one.key] = one
        if len(found) > _MOST:
            break
        seen = (seen[0] | wanted[0], seen[1] | wanted[1])
        drawn = _drawn(found.values(), wanted[0])
        wanted = (drawn[0] - seen[0], drawn[1] - seen[1])
    raise TooCostly("The value set draws on too many others")


def _url(canonical: str) -> str:
    return canonical.partition("|")[0]


async def _stored(context: Context, wanted: Names) -> Sequence[Definition]:
    """Give what the tenant stores under the urls, all versions of each."""
    sets, systems = wanted
    places = (reference.relative(name, *context.bases) for name in sets)
    local = tuple(p.removeprefix(f"{_SET}/") for p in places if p.startswith(f"{_SET}/"))
    branches = (
        Branch(_SET, Or((*_by_url(context, _SET, sets), *((Ids(local),) if local else ())))),
        Branch(_SYSTEM, Or(_by_url(context, _SYSTEM, systems))),
    )
    asked = tuple(branch for branch in branches if branch.where != Or(()))
    plan = Plan(context.tenant, asked, limit=_MOST + 1)
    found = await context.services.store.search(plan) if asked else ()
    return [await _compiled(context, match.version) for match in found]


def _by_url(context: Context, type_: str, urls: Iterable[str]) -> tuple[Expression, ...]:
    parameter = context.services.planner.parameter(type_, "url")
    return tuple(Uri(atom.name, url) for atom in parameter.atoms for url in sorted(urls))


async def _compiled(context: Context, version: Version) -> Definition:
    """Compile a stored definition, a large one off the event loop."""
    compiled, body = context.services.compiled, version.body or b"{}"
    place = version.key.reference
    url = f"{context.base}/{place}"
    key = (version.key.tenant, version.key.reference, version.version_id, version.updated)
    known_already = compiled.get(key)
    if known_already is not None:
        return known_already
    if len(body) < _SMALL:
        return compiled.definition(key, place, body, url)
    return await asyncio.to_thread(compiled.definition, key, place, body, url)


def _drawn(stored: Iterable[Definition], urls: Iterable[str]) -> Names:
    """Give the urls of what stored definitions, and R4's own of these urls, are made of."""
    sets: set[str] = set()
    systems: set[str] = set()
    meant: list[CodeSystem | ValueSet | None] = [one.meaning for one in stored]
    meant += [held().value_set(url, None) or implicit(url) for url in urls]
    for one in meant:
        for part in one.parts if isinstance(one, ValueSet) else ():
            sets.update(map(_url, part.value_sets))
            if part.system:
                systems.add(part.system)
    return frozenset(sets), frozenset(systems)
