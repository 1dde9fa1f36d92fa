"""Which part of each resource an answer gives: _summary and _elements of a request."""

from collections.abc import Sequence

from msgspec import Struct

from fhir_server.context import Context
from resources import summary
from resources.model import parse, serialise
from resources.outcome import Invalid

MODES = frozenset({"true", "text", "data", "count", "false"})
NAMES = frozenset({"_summary", "_elements"})


class Part(Struct, frozen=True):
    """The part that was asked for; without either the stored bytes are given as they are."""

    mode: str | None = None
    elements: tuple[str, ...] = ()

    def of(self, context: Context, body: bytes) -> bytes:
        """Give the part of a resource's JSON; the same bytes where the whole was asked for."""
        definitions = context.services.definitions
        if self.elements:
            return serialise(summary.only(parse(body), self.elements, definitions))
        match self.mode:
            case "true" | "text" | "data" as mode:
                return serialise(summary.summary(parse(body), mode, definitions))
            case _:
                return body


WHOLE = Part()


def part(context: Context, query: Sequence[tuple[str, str]], types: Sequence[str] = ()) -> Part:
    """Read _summary and _elements; raises Invalid for a mode, or an element that no asked type has."""
    if not any(name in NAMES for name, _ in query):
        return WHOLE
    modes = [value for name, value in query if name == "_summary"]
    if len(modes) > 1:
        raise Invalid("_summary is asked for twice", issue="value")
    mode = modes[0] if modes else None
    if mode is not None and mode not in MODES:
        raise Invalid(f"_summary takes one of {', '.join(sorted(MODES))}", issue="value")
    named = tuple(
        e.strip() for n, v in query if n == "_elements" for e in v.split(",") if e.strip()
    )
    if named and mode not in {None, "false"}:
        raise Invalid("_summary and _elements are not asked for together")
    elements = tuple(name.rpartition(".")[2] for name in named)
    for type_ in types:
        known = context.services.definitions.children(type_)
        if any(name not in known and name != "resourceType" for name in elements):
            raise Invalid(f"_elements names an element that {type_} does not have", issue="value")
    return Part(mode, elements)
