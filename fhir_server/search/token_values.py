"""What coded datatypes give to be found by as tokens, and what stands beside (FHIR R4 search.html#token)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from fhir_server.search import beside_values
from fhir_server.search.values import IndexValues, TokenValue
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Visit

BOOLEANS: Final = "http://hl7.org/fhir/special-values"
MEDIA_TYPES: Final = "http://hl7.org/fhir/ValueSet/mimetypes"


def code(atom: str, branch: Branch, definitions: Definitions) -> Visit:
    """Give the closure of an element of type code, with the system that its binding gives each code."""
    if branch.binding is not None and branch.binding.value_set == MEDIA_TYPES:
        return _media(atom)
    return _code(atom, _systems(branch, definitions))


def _systems(branch: Branch, definitions: Definitions) -> Mapping[str, str]:
    """Give the system of each code of a required binding that has it in one system only."""
    if branch.binding is None or branch.binding.strength != "required":
        return {}
    found: dict[str, str] = {}
    for system, code in definitions.codes(branch.binding.value_set) or ():
        found[code] = "" if code in found else system
    return found


def _code(atom: str, systems: Mapping[str, str]) -> Visit:
    system_of = systems.get

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is str and value:
            out.tokens.append(TokenValue(atom, system_of(value, ""), value))

    return sink


def _plain(atom: str) -> Visit:
    return _code(atom, {})


def _media(atom: str) -> Visit:
    each, base = _plain(atom), atom + beside_values.BASE

    def sink(value: Any, out: IndexValues) -> None:
        each(value, out)
        if type(value) is str:
            out.tokens.append(TokenValue(base, "", beside_values.media_base(value)))

    return sink


def _folded(atom: str) -> Visit:
    each = _plain(atom)

    def sink(value: Any, out: IndexValues) -> None:
        each(value.casefold() if type(value) is str else value, out)

    return sink


def coded(system_key: str, code_key: str) -> Callable[[str], Visit]:
    """Give tokens of an object that holds its system and code under these names."""

    def make(atom: str) -> Visit:
        """Give the sink of an atom: the token of an object that has a code."""

        def sink(value: Any, out: IndexValues) -> None:
            if type(value) is not dict:
                return
            code, system = value.get(code_key), value.get(system_key)
            if type(code) is str and code:
                out.tokens.append(TokenValue(atom, system if type(system) is str else "", code))

        return sink

    return make


def _coding(atom: str) -> Visit:
    """Give the token of a Coding and its display: the commonest of all, so it is one closure."""
    text = atom + beside_values.TEXT

    def sink(value: Any, out: IndexValues) -> None:
        """Give the token of a Coding that has a code, and its display as a text beside."""
        if type(value) is not dict:
            return
        code, display = value.get("code"), value.get("display")
        if type(code) is str and code:
            system = value.get("system")
            out.tokens.append(TokenValue(atom, system if type(system) is str else "", code))
        if display is not None:
            beside_values.add_text(text, display, out)

    return sink


def _identifier(atom: str) -> Visit:
    each = coded("system", "value")(atom)

    def sink(value: Any, out: IndexValues) -> None:
        each(value, out)
        if type(value) is dict and "type" in value:
            beside_values.add_type(atom, value, out)

    return sink


def _concept(atom: str) -> Visit:
    each, text = _coding(atom), atom + beside_values.TEXT

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not dict:
            return
        codings, written = value.get("coding"), value.get("text")
        for coding in codings if type(codings) is list else ():
            each(coding, out)
        if written is not None:
            beside_values.add_text(text, written, out)

    return sink


def _boolean(atom: str) -> Visit:
    true, false = TokenValue(atom, BOOLEANS, "true"), TokenValue(atom, BOOLEANS, "false")

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is bool:
            out.tokens.append(true if value else false)

    return sink


SINKS: Final[Mapping[str, Callable[[str], Visit]]] = MappingProxyType(
    {
        "Coding": _coding,
        "CodeableConcept": _concept,
        "Identifier": _identifier,
        "ContactPoint": coded("use", "value"),
        "boolean": _boolean,
        "string": _folded,
        **dict.fromkeys(("code", "id", "uri", "url", "canonical", "oid", "uuid"), _plain),
    }
)
"""By datatype, what makes the closure that appends a value's tokens to an atom."""
