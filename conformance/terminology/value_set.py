"""A value set, compiled: what it includes and excludes, or a stored expansion's codes (R4 valueset.html)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from resources.model import Resource


class Filter(Struct, frozen=True, gc=False):
    """One condition on the concepts of a code system (ValueSet.compose.include.filter)."""

    property: str
    op: str
    value: str


class Listed(Struct, frozen=True, gc=False):
    """A code with the display that the value set gives it, empty where it gives none."""

    system: str
    code: str
    display: str = ""


class Part(Struct, frozen=True):
    """One include or exclude: concepts of a system that are also in all of the value sets.

    `codes` None is every concept that satisfies all `filters`; an empty `system` is any.
    """

    system: str
    version: str | None
    codes: tuple[Listed, ...] | None
    filters: tuple[Filter, ...]
    value_sets: tuple[str, ...]


class ValueSet(Struct, frozen=True):
    """A value set; `stored` are the codes of its stored expansion, None where it has no whole one."""

    url: str
    version: str
    include: tuple[Part, ...]
    exclude: tuple[Part, ...]
    stored: tuple[Listed, ...] | None = None
    without_inactive: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that it includes and excludes."""
        return self.include + self.exclude


def compiled(resource: Resource) -> ValueSet:
    """Give the value set that a valid ValueSet resource holds."""
    compose = resource.get("compose", {})
    return ValueSet(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        include=tuple(_part(held) for held in compose.get("include", ())),
        exclude=tuple(_part(held) for held in compose.get("exclude", ())),
        stored=_stored(resource.get("expansion")),
        without_inactive=compose.get("inactive") is False,
    )


def implicit(url: str) -> ValueSet | None:
    """Give the value set of all codes of a system, or of those below one: system?fhir_vs, =isa/code.

    None for a url of another form (R4 snomedct.html#implicit).
    """
    system, mark, rest = url.partition("?fhir_vs")
    kind, _, code = rest.removeprefix("=").partition("/")
    if not mark or not system or (rest and (kind != "isa" or not code)):
        return None
    filters = (Filter("concept", "is-a", code),) if rest else ()
    return ValueSet(url, "", (Part(system, None, None, filters, ()),), ())


def _part(held: Mapping[str, Any]) -> Part:
    system = held.get("system", "")
    codes = None
    if "concept" in held:
        codes = tuple(
            Listed(system, one["code"], one.get("display", "")) for one in held["concept"]
        )
    filters = tuple(
        Filter(one.get("property", ""), one.get("op", ""), one.get("value", ""))
        for one in held.get("filter", ())
    )
    return Part(system, held.get("version"), codes, filters, tuple(held.get("valueSet", ())))


def _stored(expansion: Mapping[str, Any] | None) -> tuple[Listed, ...] | None:
    """Give the codes of an expansion, abstract ones left out; None for one that is only a page."""
    if expansion is None or expansion.get("offset"):
        return None
    codes = tuple(_contained(expansion.get("contains", ())))
    total = expansion.get("total")
    return None if total is not None and total > len(codes) else codes


def _contained(entries: Sequence[Mapping[str, Any]]) -> Iterator[Listed]:
    for entry in entries:
        if "code" in entry and not entry.get("abstract"):
            yield Listed(entry.get("system", ""), entry["code"], entry.get("display", ""))
        yield from _contained(entry.get("contains", ()))
