"""What each datatype gives to be found by, as closures that append index values (FHIR R4 search.html#ptypes).

- token: code, Coding, CodeableConcept, Identifier, ContactPoint, boolean and plain strings. A `code` has the
  system of its required binding where just one system of the value set has the code; a ContactPoint's
  system is its use; a boolean's is special-values. The text of a CodeableConcept is no code.
- text: each part of a HumanName or Address, a string, a markdown.
- date: date, dateTime, instant and Period; a Timing by its outer limits.
- number and quantity: with the interval of the implied precision; a Range by each of its ends. A quantity
  whose unit differs from its code is found by either.
- reference: literals as written, versions dropped; canonicals with and without |version; never contained
  ones. A Reference's identifier is a token of the atom's name + `.identifier`.

A value of another datatype, or not of its datatype's shape, gives nothing.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.search.expression import Kind
from fhir_server.search.values import (
    DateValue,
    IndexValues,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
)
from resources import datatypes, reference
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Visit

BOOLEANS = "http://hl7.org/fhir/special-values"
CURRENCIES = "urn:iso:std:iso:4217"
IDENTIFIER = ".identifier"

Interval = Callable[[Any], tuple[int, int] | None]


def indexed(kind: Kind, datatype: str) -> bool:
    """Tell whether a value of the datatype gives index values of the kind."""
    return datatype in (_REFERENCES if kind == "reference" else _SINKS[kind])


def sink(atom: str, kind: Kind, branch: Branch, definitions: Definitions) -> Visit | None:
    """Give the closure that appends what a value at the branch gives; None if that is nothing."""
    if not indexed(kind, branch.type):
        return None
    if kind == "reference":
        return _reference_sink(atom, branch.type, definitions.resource_types)
    if kind == "token" and branch.type == "code":
        return _code(atom, _systems(branch, definitions))
    return _SINKS[kind][branch.type](atom)


def _systems(branch: Branch, definitions: Definitions) -> Mapping[str, str]:
    """Give the system of each code of a required binding that has it in one system only."""
    if branch.binding is None or branch.binding.strength != "required":
        return {}
    found: dict[str, str] = {}
    for system, code in definitions.codes(branch.binding.value_set) or ():
        found[code] = "" if code in found else system
    return found


# --- token ---------------------------------------------------------------------------------------


def _code(atom: str, systems: Mapping[str, str]) -> Visit:
    system_of = systems.get

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is str and value:
            out.tokens.append(TokenValue(atom, system_of(value, ""), value))

    return sink


def _plain(atom: str) -> Visit:
    return _code(atom, {})


def _coded(system_key: str, code_key: str) -> Callable[[str], Visit]:
    """Give tokens of an object that holds its system and code under these names."""

    def make(atom: str) -> Visit:
        def sink(value: Any, out: IndexValues) -> None:
            if type(value) is not dict:
                return
            code, system = value.get(code_key), value.get(system_key)
            if type(code) is str and code:
                out.tokens.append(TokenValue(atom, system if type(system) is str else "", code))

        return sink

    return make


_coding = _coded("system", "code")
_identifier = _coded("system", "value")


def _concept(atom: str) -> Visit:
    each = _coding(atom)

    def sink(value: Any, out: IndexValues) -> None:
        for coding in _list(value, "coding"):
            each(coding, out)

    return sink


def _boolean(atom: str) -> Visit:
    true, false = TokenValue(atom, BOOLEANS, "true"), TokenValue(atom, BOOLEANS, "false")

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is bool:
            out.tokens.append(true if value else false)

    return sink


# --- text ----------------------------------------------------------------------------------------


def _string(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is str and value:
            out.texts.append(TextValue(atom, datatypes.normal(value), value))

    return sink


def _parts(*names: str) -> Callable[[str], Visit]:
    """Give texts of the named parts of an object, each a string or a list of strings."""

    def make(atom: str) -> Visit:
        each = _string(atom)

        def sink(value: Any, out: IndexValues) -> None:
            if type(value) is not dict:
                return
            for name in names:
                part = value.get(name)
                for text in part if type(part) is list else (part,):
                    each(text, out)

        return sink

    return make


# --- date ----------------------------------------------------------------------------------------


def _date(interval: Interval) -> Callable[[str], Visit]:
    def make(atom: str) -> Visit:
        def sink(value: Any, out: IndexValues) -> None:
            try:
                found = interval(value)
            except (ValueError, TypeError, AttributeError):
                return
            if found is not None:
                out.dates.append(DateValue(atom, *found))

        return sink

    return make


# --- number and quantity -------------------------------------------------------------------------


def _measured(value: Any) -> tuple[Decimal, Decimal, Decimal] | None:
    """Give a number with the ends of its implied precision."""
    number = Decimal(value) if type(value) is int else value
    if type(number) is not Decimal:
        return None
    try:
        return number, *datatypes.precision(number)
    except ValueError:
        return None


def _number(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if (measured := _measured(value)) is not None:
            out.numbers.append(NumberValue(atom, *measured))

    return sink


def _quantity(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not dict or (measured := _measured(value.get("value"))) is None:
            return
        system, code, unit = (_text(value, name) for name in ("system", "code", "unit"))
        if code or not unit:
            out.quantities.append(QuantityValue(atom, system, code, *measured))
        if unit and unit != code:
            out.quantities.append(QuantityValue(atom, "", unit, *measured))

    return sink


def _money(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not dict or (measured := _measured(value.get("value"))) is None:
            return
        currency = _text(value, "currency")
        out.quantities.append(QuantityValue(atom, CURRENCIES, currency, *measured))

    return sink


def _range(make: Callable[[str], Visit], end: Callable[[Any], Any]) -> Callable[[str], Visit]:
    def made(atom: str) -> Visit:
        each = make(atom)

        def sink(value: Any, out: IndexValues) -> None:
            if type(value) is dict:
                for name in ("low", "high"):
                    each(end(value.get(name)), out)

        return sink

    return made


def _value(quantity: Any) -> Any:
    return quantity.get("value") if type(quantity) is dict else None


# --- reference and uri ---------------------------------------------------------------------------


def _reference_sink(atom: str, datatype: str, types: frozenset[str]) -> Visit:
    literal = _literal(atom, types)
    if datatype == "Reference":
        return _reference(literal, _identifier(atom + IDENTIFIER))
    return _held(atom) if datatype == "Resource" else literal


def _reference(literal: Visit, identifier: Visit) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not dict:
            return
        text = value.get("reference")
        if text is not None:
            literal(text, out)
        held = value.get("identifier")
        if held is not None:
            identifier(held, out)

    return sink


def _literal(atom: str, types: frozenset[str]) -> Visit:
    """Give a reference to a resource here by type and id, any other by url, none to a contained one."""

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not str or not value or value[0] == "#":
            return
        found = reference.parse(value)
        if found.form == "local" and found.type in types:
            out.references.append(ReferenceValue(atom, found.type, found.id, ""))
        elif found.form != "conditional":
            url = found.url or value
            out.references.append(ReferenceValue(atom, "", "", url))
            if "|" in url:
                out.references.append(ReferenceValue(atom, "", "", url.partition("|")[0]))

    return sink


def _held(atom: str) -> Visit:
    """Give a resource that is held in this one (Bundle.entry) as a reference to it."""

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is dict and (held := _text(value, "id")):
            out.references.append(ReferenceValue(atom, _text(value, "resourceType"), held, ""))

    return sink


def _uri(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is str and value:
            out.uris.append(UriValue(atom, value))

    return sink


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if type(found) is str else ""


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if type(value) is dict else None
    return found if type(found) is list else []


_QUANTITIES = (
    "Quantity",
    "SimpleQuantity",
    "Age",
    "Count",
    "Distance",
    "Duration",
    "MoneyQuantity",
)
_REFERENCES = frozenset({"Reference", "canonical", "uri", "url", "Resource"})
_SINKS: Mapping[Kind, Mapping[str, Callable[[str], Visit]]] = {
    "token": {
        "Coding": _coding,
        "CodeableConcept": _concept,
        "Identifier": _identifier,
        "ContactPoint": _coded("use", "value"),
        "boolean": _boolean,
        **dict.fromkeys(("code", "id", "string", "uri", "url", "canonical", "oid", "uuid"), _plain),
    },
    "text": {
        "string": _string,
        "markdown": _string,
        "HumanName": _parts("text", "family", "given", "prefix", "suffix"),
        "Address": _parts("text", "line", "city", "district", "state", "postalCode", "country"),
    },
    "date": {
        **dict.fromkeys(("date", "dateTime", "instant"), _date(datatypes.interval)),
        "Period": _date(datatypes.period),
        "Timing": _date(datatypes.timing),
    },
    "number": {
        **dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), _number),
        "Range": _range(_number, _value),
    },
    "quantity": {
        **dict.fromkeys(_QUANTITIES, _quantity),
        "Money": _money,
        "Range": _range(_quantity, lambda end: end),
    },
    "uri": dict.fromkeys(("uri", "url", "canonical", "oid", "uuid"), _uri),
}
