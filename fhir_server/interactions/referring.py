"""Which references resources hold, and how they are referred to themselves.

FHIR R4 references.html: literal references by type and id, canonical ones by url, with a version or without.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from fhir_server.search.expression import Expression, Reference
from fhir_server.search.parameters import Parameter, SearchParameters
from fhir_server.search.values import ReferenceValue
from fhir_server.store.port import Version
from resources.model import parse


class Wanted(Struct, frozen=True):
    """A resource by what may refer to it; `canonicals` are its url, alone and with its version."""

    type: str
    id: str
    canonicals: tuple[str, ...] = ()

    def referred_by(self, parameter: Parameter) -> Iterator[Expression]:
        """Give the conditions that a parameter's references lead to the resource."""
        for atom in parameter.atoms:
            yield Reference(atom.name, self.type, self.id)
            for url in self.canonicals[:1]:
                yield Reference(atom.name, "", "", url)


class Referring:
    """The references of resources."""

    def __init__(self, parameters: SearchParameters) -> None:
        self._parameters = parameters

    def held(self, version: Version, atoms: frozenset[str]) -> Sequence[ReferenceValue]:
        """Give the references that a resource holds by some atoms."""
        return self._parameters.references(version.key.type, atoms, version.body or b"")

    def wanted(self, versions: Sequence[Version]) -> list[Wanted]:
        """Give by what others may refer to these resources."""
        return [self._wanted(version) for version in versions]

    def refers(self, version: Version, atoms: frozenset[str], wanted: Sequence[Wanted]) -> bool:
        """Tell whether a resource refers to one of those wanted, in the version that it names if any."""
        values = self.held(version, atoms)
        here = {(one.type, one.id) for one in wanted}
        if any((value.type, value.id) in here for value in values if value.id):
            return True
        named = {canonical for one in wanted for canonical in one.canonicals}
        return not named.isdisjoint(_as_written([value.url for value in values if value.url]))

    def _wanted(self, version: Version) -> Wanted:
        key = version.key
        if self._parameters.get(key.type, "url") is None:
            return Wanted(key.type, key.id)
        resource = parse(version.body or b"")
        url, number = resource.get("url"), resource.get("version")
        if not isinstance(url, str):
            return Wanted(key.type, key.id)
        both = (url, f"{url}|{number}") if isinstance(number, str) else (url,)
        return Wanted(key.type, key.id, both)


def atoms_of(parameters: Sequence[Parameter]) -> frozenset[str]:
    """Give the names of all atoms of some parameters."""
    return frozenset(atom.name for parameter in parameters for atom in parameter.atoms)


def literals(values: Sequence[ReferenceValue], parameter: Parameter) -> Iterator[tuple[str, str]]:
    """Give type and id of what a parameter's references lead to, as far as it allows these types."""
    atoms = {atom.name for atom in parameter.atoms}
    for value in values:
        fits = not parameter.targets or value.type in parameter.targets
        if value.id and value.atom in atoms and fits:
            yield value.type, value.id


def canonicals(values: Sequence[ReferenceValue], parameter: Parameter) -> list[str]:
    """Give the canonicals among a parameter's references, as they are written."""
    atoms = {atom.name for atom in parameter.atoms}
    return _as_written([v.url for v in values if v.url and v.atom in atoms])


def _as_written(urls: Sequence[str]) -> list[str]:
    """Leave out urls that are there because a canonical with a version is indexed without it too."""
    bare = {url.partition("|")[0] for url in urls if "|" in url}
    return [url for url in urls if "|" in url or url not in bare]
