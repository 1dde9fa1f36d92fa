"""Which part of each resource an answer gives: _summary and _elements of a request."""

from collections.abc import Sequence

from msgspec import Struct

from fhir_server.context import Context
from fhir_server.interactions import answer
from fhir_server.message import FhirRequest
from fhir_server.search.unknown import Ignore, UnknownParameter
from resources import summary
from resources.definitions import Definitions
from resources.model import parse, serialise
from resources.outcome import Invalid

MODES = frozenset({"true", "text", "data", "count", "false"})
NAMES = frozenset({"_summary", "_elements"})
_ELEMENTS = "_elements"

Pairs = Sequence[tuple[str, str]]


class Part(Struct, frozen=True):
    """The part that was asked for; without either the stored bytes are given as they are.

    `elements` are pairs of a type, or of nothing for every type, and an element's name; `named` is what is
    used of _elements, as it was written.
    """

    mode: str | None = None
    elements: tuple[tuple[str, str], ...] = ()
    named: tuple[str, ...] = ()

    def of(self, context: Context, body: bytes) -> bytes:
        """Give the part of a resource's JSON; the same bytes where the whole was asked for."""
        definitions = context.services.definitions
        if self.elements:
            resource = parse(body)
            own = {name for type_, name in self.elements if type_ in {"", resource["resourceType"]}}
            return serialise(summary.only(resource, own, definitions))
        match self.mode:
            case "true" | "text" | "data" as mode:
                return serialise(summary.summary(parse(body), mode, definitions))
            case _:
                return body

    def used(self, pairs: Pairs) -> list[tuple[str, str]]:
        """Give the pairs of a request with the elements that are used: not those left out by lenience."""
        if len(_named(pairs)) == len(self.named):
            return list(pairs)
        kept = [pair for pair in pairs if pair[0] != _ELEMENTS]
        return [*kept, (_ELEMENTS, ",".join(self.named))] if self.named else kept


WHOLE = Part()


def one_of(context: Context, request: FhirRequest, types: Sequence[str] = ()) -> Part:
    """Read what an interaction that is no search gives of each resource; raises Invalid, also for a count."""
    lenient = answer.lenient(context, request)

    def ignore(unknown: UnknownParameter) -> None:
        if not lenient:
            raise unknown

    asked = part(context, request.query, ignore, types)
    if asked.mode == "count":
        raise Invalid("_summary=count is for searches")
    return asked


def part(
    context: Context,
    query: Pairs,
    ignore: Ignore,
    types: Sequence[str] = (),
    *,
    beyond: bool = False,
) -> Part:
    """Read _summary and _elements; raises Invalid for a mode, and for both at once.

    An element that none of the types has (no types are all of them) is told to `ignore`. Where an answer goes
    `beyond` the types, as inclusions do, a name may say another type that it is for.
    """
    if not any(name in NAMES for name, _ in query):
        return WHOLE
    mode, names = _mode(query), _named(query)
    if names and mode not in {None, "false"}:
        raise Invalid("_summary and _elements are not asked for together")
    definitions = context.services.definitions
    known = types or tuple(definitions.resource_types)
    sayable = definitions.resource_types if beyond else frozenset(known)
    used = []
    for name in names:
        type_, dot, element = name.rpartition(".")
        among = known if not dot else (type_,) if type_ in sayable else ()
        if any(_has(definitions, one, element) for one in among):
            used.append(name)
        else:
            ignore(UnknownParameter(_told(types)))
    pairs = (name.rpartition(".") for name in used)
    return Part(mode, tuple((type_, element) for type_, _, element in pairs), tuple(used))


def _mode(query: Pairs) -> str | None:
    modes = [value for name, value in query if name == "_summary"]
    if len(modes) > 1:
        raise Invalid("_summary is asked for twice", issue="value")
    mode = modes[0] if modes else None
    if mode is not None and mode not in MODES:
        raise Invalid(f"_summary takes one of {', '.join(sorted(MODES))}", issue="value")
    return mode


def _named(query: Pairs) -> tuple[str, ...]:
    """Give the names that _elements has, each once, however often it comes."""
    named = (e.strip() for name, value in query if name == _ELEMENTS for e in value.split(","))
    return tuple(dict.fromkeys(name for name in named if name))


def _has(definitions: Definitions, type_: str, element: str) -> bool:
    """Tell whether a type has an element at its root, the only ones of _elements (search.html#elements)."""
    return element == "resourceType" or element in definitions.children(type_)


def _told(types: Sequence[str]) -> str:
    who = f"{types[0]} does not have" if len(types) == 1 else "none of these types has"
    return f"_elements names an element that {who} at its root"
