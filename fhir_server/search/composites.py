"""Where the members of a composite are: the same element, once or repeating (FHIR R4 search.html#composite).

In an element that is there once (the resource itself), members are together of themselves, and a composite is
the conjunction of its members. The repetitions of others (Observation.component) are extracted one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.search.expression import Kind
from fhir_server.search.index_values import Element, Source
from fhir_server.search.paths import Paths, of_resource, union
from resources.definitions import SearchParameter
from resources.fhirpath.expression import Node, Path
from resources.fhirpath.steps import Branch


@dataclass(frozen=True, slots=True)
class Member:
    """One member as it is defined: its parameter, and its expression from the composite's element."""

    definition: SearchParameter
    kind: Kind
    expression: Node


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member is: from the resource, and from the element unless it is `outside` of it."""

    member: Member
    plain: tuple[Source, ...]
    inside: tuple[Source, ...]
    outside: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Where a composite's members are: the element's path (empty where it is there once) and branches."""

    element: str
    branch: Branch
    places: tuple[Place, ...]

    def extracted(self, known: Element | None) -> Element:
        """Give the element with the values of all members, added to what others need of it."""
        sources = {s.name + s.kind: s for s in (known.sources if known else ())}
        for place in self.places:
            sources.update((s.name + s.kind, s) for s in place.inside)
        return Element(self.element, (self.branch,), tuple(sources.values()))


def context(paths: Paths, type: str, node: Node, members: Sequence[Member]) -> Found | None:
    """Give where the members are in an element; None where the type has it not, or not all of them."""
    element = paths.element(type, node)
    if element is None:
        return None
    path, branch = element
    for tried in (members, _crossed(members)):
        places = tuple(_place(paths, type, path, branch, member) for member in tried)
        if all(place.plain for place in places):
            return Found(str(path) if paths.repeats(path) else "", branch, places)
    return None


def _crossed(members: Sequence[Member]) -> list[Member]:
    """Exchange the parameters of the members: DocumentReference's `relationship` names them crosswise."""
    others = reversed(members)
    return [
        Member(other.definition, other.kind, member.expression)
        for member, other in zip(members, others, strict=True)
    ]


def _place(paths: Paths, type: str, path: Path, branch: Branch, member: Member) -> Place:
    parts = list(union(member.expression))
    outside = any(of_resource(part) for part in parts)
    root = Path(None, type) if outside else path
    plain = [paths.source(type, member.kind, paths.canonical(part, root)) for part in parts]
    inside = [] if outside else [paths.inside(path, branch, member.kind, part) for part in parts]
    return Place(
        member,
        tuple(source for source in plain if source is not None),
        tuple(source for source in inside if source is not None),
        outside,
    )
