"""What _include and _revinclude add to a page, each under the caller's access: https://hl7.org/fhir/R4/search.html#include

References are followed by type and id, canonical ones by url and version. A canonical without a version
leads to every version that is stored.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from fhir_server.context import Context
from fhir_server.interactions.referring import Referring, atoms_of, canonicals, literals
from fhir_server.search.expression import (
    And,
    Branch,
    Expression,
    Ids,
    Or,
    Plan,
    Token,
    Uri,
    both,
)
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import Inclusion
from fhir_server.search.unknown import UnknownParameter
from fhir_server.store.port import Key, Version
from resources.outcome import Invalid

_ROUNDS = 32
_FEW = 1_000
_ANY = "*"


class Included(Struct, frozen=True):
    """The resources that inclusions lead to, and whether that is not all of them."""

    versions: Sequence[Version]
    cut: bool = False


def check(context: Context, inclusion: Inclusion) -> None:
    """Refuse an inclusion that cannot lead anywhere; raises UnknownParameter or Invalid."""
    planner = context.services.planner
    if inclusion.target not in {None, _ANY}:
        planner.known(inclusion.target or "")
    if inclusion.source == _ANY:
        return
    planner.known(inclusion.source)
    found = _parameters(context, inclusion, inclusion.source)
    if not found:
        code = inclusion.code if inclusion.code.replace("-", "").isalnum() else "of that name"
        raise UnknownParameter(f"{inclusion.source} has no reference parameter {code}")
    if inclusion.target and not any(_leads(p, inclusion.target) for p in found):
        raise Invalid(f"{inclusion.code} of {inclusion.source} does not refer to that type")


async def included(
    context: Context, matches: Sequence[Version], inclusions: Sequence[Inclusion]
) -> Included:
    """Give the resources that the inclusions lead to, each once, none that is a match already.

    `:iterate` goes on from what was included until nothing new comes, or a limit is met.
    """
    limit = context.services.policy.include_limit
    walk = _Walk(context, {version.key for version in matches}, limit)
    frontier: Sequence[Version] = matches
    for round_ in range(_ROUNDS):
        asked = [one for one in inclusions if round_ == 0 or one.iterate]
        frontier = await walk.expand(frontier, asked) if asked else ()
        if not frontier or walk.full:
            break
    cut = walk.full or (bool(frontier) and any(one.iterate for one in inclusions))
    return Included(walk.found, cut)


class _Walk:
    """Collects what inclusions lead to, up to a limit."""

    def __init__(self, context: Context, seen: set[Key], limit: int) -> None:
        self._context = context
        self._seen = seen
        self._limit = limit
        self._referring = Referring(context.services.planner.parameters)
        self.found: list[Version] = []
        self.full = False

    async def expand(
        self, sources: Sequence[Version], asked: Sequence[Inclusion]
    ) -> Sequence[Version]:
        """Follow the inclusions one step from the sources, and give what is new."""
        new: list[Version] = []
        for inclusion in asked:
            step = self._referrers if inclusion.reverse else self._referred
            for version in await step(sources, inclusion):
                if version.key not in self._seen and not self._fill():
                    self._seen.add(version.key)
                    self.found.append(version)
                    new.append(version)
        return new

    def _fill(self) -> bool:
        """Tell, and take note, that there is no room for one more."""
        self.full = self.full or len(self.found) >= self._limit
        return self.full

    async def _referred(
        self, sources: Sequence[Version], inclusion: Inclusion
    ) -> Sequence[Version]:
        """Follow references forward from the sources of the inclusion's type."""
        ids: defaultdict[str, dict[str, None]] = defaultdict(dict)
        urls: dict[tuple[str, str], None] = {}
        known: dict[str, tuple[list[Parameter], frozenset[str]]] = {}
        for version in sources:
            source = version.key.type
            if inclusion.source not in {_ANY, source}:
                continue
            if source not in known:
                parameters = _parameters(self._context, inclusion, source)
                known[source] = parameters, atoms_of(parameters)
            values = self._referring.held(version, known[source][1])
            for parameter in known[source][0] if values else ():
                for type_, id_ in literals(values, parameter):
                    if inclusion.target in {None, _ANY, type_}:
                        ids[type_][id_] = None
                for url in canonicals(values, parameter):
                    for type_ in _targets(parameter, inclusion):
                        urls[type_, url] = None
        found = [v for type_, some in ids.items() for v in await self._by_id(type_, tuple(some))]
        return [*found, *(await self._by_canonical(tuple(urls)))]

    async def _by_id(self, type_: str, ids: tuple[str, ...]) -> Sequence[Version]:
        """Give resources by id: point reads where access has no limits, else a search that has them."""
        context = self._context
        wanted = [id_ for id_ in ids if Key(context.tenant, type_, id_) not in self._seen]
        if context.access.unlimited(type_, "r"):
            keys = tuple(Key(context.tenant, type_, id_) for id_ in wanted)
            return await context.services.store.read_many(keys) if keys else ()
        return await self._reachable({type_: Ids(tuple(wanted))}) if wanted else ()

    async def _by_canonical(self, wanted: Sequence[tuple[str, str]]) -> Sequence[Version]:
        found: defaultdict[str, list[Expression]] = defaultdict(list)
        for type_, canonical in wanted:
            found[type_] += _canonical(self._context, type_, canonical)
        return await self._reachable({t: Or(tuple(parts)) for t, parts in found.items() if parts})

    async def _referrers(
        self, sources: Sequence[Version], inclusion: Inclusion
    ) -> Sequence[Version]:
        """Find resources of the inclusion's type, or of any, that refer to the sources."""
        wanted = self._referring.wanted(sources)
        asked: dict[str, Expression] = {}
        for type_ in self._referring_types(inclusion):
            parts = tuple(
                part
                for parameter in _parameters(self._context, inclusion, type_)
                for source in wanted
                if inclusion.target in {None, _ANY, source.type} and _leads(parameter, source.type)
                for part in source.referred_by(parameter)
            )
            if parts:
                asked[type_] = Or(parts)
        found = await self._reachable(asked)
        if not any(one.canonicals for one in wanted):
            return found
        by = {type_: atoms_of(_parameters(self._context, inclusion, type_)) for type_ in asked}
        refers = self._referring.refers
        return [version for version in found if refers(version, by[version.key.type], wanted)]

    def _referring_types(self, inclusion: Inclusion) -> Sequence[str]:
        if inclusion.source != _ANY:
            return (inclusion.source,)
        return sorted(self._context.services.definitions.resource_types)

    async def _reachable(self, asked: Mapping[str, Expression]) -> Sequence[Version]:
        """Find resources within the caller's access; a type without grants is absent."""
        context = self._context
        planner, access = context.services.planner, context.access
        branches = tuple(
            Branch(type_, both((where, planner.allowed(type_, access, "r"))))
            for type_, where in asked.items()
            if access.grants_for(type_, "r")
        )
        if not branches:
            return ()
        room = self._limit - len(self.found) + len(self._seen) + 1
        for limit in (min(_FEW, room), room):  # few is what a store gives at once
            plan = Plan(context.tenant, branches, limit=limit)
            found = await context.services.store.search(plan)
            if len(found) < limit:
                break
        return [match.version for match in found]


def _parameters(context: Context, inclusion: Inclusion, type_: str) -> list[Parameter]:
    """Give the reference parameters of a type that an inclusion names."""
    parameters = context.services.planner.parameters
    if inclusion.code == _ANY:
        return [p for p in parameters.of(type_).values() if p.type == "reference"]
    found = parameters.get(type_, inclusion.code)
    return [] if found is None or found.type != "reference" else [found]


def _leads(parameter: Parameter, type_: str) -> bool:
    return type_ == _ANY or not parameter.targets or type_ in parameter.targets


def _targets(parameter: Parameter, inclusion: Inclusion) -> Sequence[str]:
    if inclusion.target in {None, _ANY}:
        return parameter.targets
    return tuple(target for target in parameter.targets if target == inclusion.target)


def _canonical(context: Context, type_: str, canonical: str) -> Iterator[Expression]:
    """Give the condition that a resource of a type has a canonical's url, and its version if it names one."""
    parameters = context.services.planner.parameters
    url, bar, version = canonical.partition("|")
    by_url, by_version = parameters.get(type_, "url"), parameters.get(type_, "version")
    for atom in () if by_url is None else by_url.atoms:
        named: Expression = Uri(atom.name, url)
        for held in by_version.atoms if bar and by_version is not None else ():
            named = And((named, Token(held.name, None, version)))
        yield named
