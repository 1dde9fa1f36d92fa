"""What _include and _revinclude add to a page, each under the caller's access: https://hl7.org/fhir/R4/search.html#include"""

from collections.abc import Sequence

from fhir_server.context import Context
from fhir_server.search.expression import And, Branch, Expression, Ids, Or, Plan, Reference
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import Inclusion
from fhir_server.store.port import Key, Version
from resources.model import parse
from resources.outcome import NotSupported, TooCostly

MAX_INCLUDED = 10_000
_ROUNDS = 5


async def included(
    context: Context, matches: Sequence[Version], inclusions: Sequence[Inclusion]
) -> list[Version]:
    """Give the resources that the inclusions lead to, each once, none that is a match already.

    `:iterate` goes on from what was included, for at most five rounds. Raises TooCostly over MAX_INCLUDED.
    """
    seen = {version.key for version in matches}
    found: list[Version] = []
    frontier: Sequence[Version] = matches
    for round_ in range(_ROUNDS):
        asked = [one for one in inclusions if round_ == 0 or one.iterate]
        new = await _expansion(context, frontier, asked, seen)
        if not new:
            break
        found.extend(new)
        frontier = new
        if len(found) > MAX_INCLUDED:
            raise TooCostly("The inclusions lead to more resources than one page holds")
    return found


async def _expansion(
    context: Context, sources: Sequence[Version], asked: Sequence[Inclusion], seen: set[Key]
) -> list[Version]:
    found: list[Version] = []
    for inclusion in asked:
        step = _referrers if inclusion.reverse else _referred
        for version in await step(context, sources, inclusion):
            if version.key not in seen:
                seen.add(version.key)
                found.append(version)
    return found


def _parameters(context: Context, inclusion: Inclusion, type_: str) -> list[Parameter]:
    """Give the reference parameters that an inclusion names; raises NotSupported for others."""
    parameters = context.services.planner.parameters
    context.services.planner.known(type_)
    if inclusion.code == "*":
        return [p for p in parameters.of(type_).values() if p.type == "reference"]
    found = parameters.get(type_, inclusion.code)
    if found is None or found.type != "reference":
        raise NotSupported(f"{type_} has no reference parameter named {inclusion.code}")
    return [found]


async def _referred(
    context: Context, sources: Sequence[Version], inclusion: Inclusion
) -> list[Version]:
    """Follow references forward from the sources of the inclusion's type."""
    wanted: dict[str, set[str]] = {}
    if inclusion.source != "*":
        _parameters(context, inclusion, inclusion.source)
    for version in sources:
        if inclusion.source in {"*", version.key.type}:
            for parameter in _parameters(context, inclusion, version.key.type):
                _collect(context, version, parameter, inclusion.target, wanted)
    found: list[Version] = []
    for type_, ids in wanted.items():
        found.extend(await _by_id(context, type_, tuple(sorted(ids))))
    return found


async def _by_id(context: Context, type_: str, ids: tuple[str, ...]) -> Sequence[Version]:
    """Give resources by id: point reads where access has no limits, else a search that has them."""
    if context.access.unlimited(type_, "r"):
        keys = tuple(Key(context.tenant, type_, id_) for id_ in ids)
        return await context.services.store.read_many(keys)
    return await _reachable(context, type_, Ids(ids))


def _collect(
    context: Context,
    version: Version,
    parameter: Parameter,
    target: str | None,
    wanted: dict[str, set[str]],
) -> None:
    atoms = {atom.name for atom in parameter.atoms}
    values = context.services.planner.parameters.values(parse(version.body or b""))
    for value in values.references:
        fits = value.type in parameter.targets and target in {None, value.type}
        if fits and value.atom in atoms:
            wanted.setdefault(value.type, set()).add(value.id)


async def _referrers(
    context: Context, sources: Sequence[Version], inclusion: Inclusion
) -> list[Version]:
    """Find resources of the inclusion's type that refer to the sources."""
    if inclusion.source == "*":
        raise NotSupported("_revinclude names the type that it comes from")
    parameters = _parameters(context, inclusion, inclusion.source)
    parts = tuple(
        Reference(atom.name, version.key.type, version.key.id)
        for parameter in parameters
        for version in sources
        if version.key.type in parameter.targets and inclusion.target in {None, version.key.type}
        for atom in parameter.atoms
    )
    return await _reachable(context, inclusion.source, Or(parts)) if parts else []


async def _reachable(context: Context, type_: str, where: Expression) -> list[Version]:
    """Find resources of a type within the caller's access; a type without grants is absent."""
    allowed = context.services.planner.allowed(type_, context.access, "r")
    plan = Plan(context.tenant, (Branch(type_, And((where, allowed))),), limit=MAX_INCLUDED + 1)
    return [match.version for match in await context.services.store.search(plan)]
