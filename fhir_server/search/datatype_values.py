"""What each datatype gives to be found by, as closures that append index values (FHIR R4 search.html#ptypes).

- token: code, Coding, CodeableConcept, Identifier, ContactPoint, boolean and plain strings. A `code` has the
  system of its required binding where just one system of the value set has the code; a ContactPoint's
  system is its use; a boolean's is special-values; a plain string is compared without case. Texts, displays,
  types of identifiers, bases of media types and beginnings of versions stand beside (beside_values.py).
- text: each part of a HumanName or Address, a string, a markdown.
- date: date, dateTime, instant and Period; a Timing by its outer limits.
- number, quantity and position: as intervals and places, see measured_values.py.
- reference: literals as written, versions dropped; canonicals with and without |version; never contained
  ones. A Reference's identifier is a token of the atom's name + `.identifier`.

A value of another datatype, or not of its datatype's shape, gives nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.search import beside_values, token_values
from fhir_server.search import measured_values as measured
from fhir_server.search.expression import Kind
from fhir_server.search.values import (
    DateValue,
    IndexValues,
    ReferenceValue,
    TextValue,
    UriValue,
)
from resources import datatypes, reference
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Visit

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
        return token_values.code(atom, branch, definitions)
    return _SINKS[kind][branch.type](atom)


# --- text ----------------------------------------------------------------------------------------


def _string(atom: str) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is str and value:
            out.texts.append(TextValue(atom, datatypes.normal(value), value))

    return sink


def _parts(*names: str) -> Callable[[str], Visit]:
    """Give texts of the named parts of an object, each a string or a list of strings."""

    def make(atom: str) -> Visit:
        """Give the sink of an atom: a text for each string of the named parts."""
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
        """Give the sink of an atom: the interval of a date in milliseconds, nothing of what is no date."""

        def sink(value: Any, out: IndexValues) -> None:
            try:
                found = interval(value)
            except (ValueError, TypeError, AttributeError):
                return
            if found is not None:
                out.dates.append(DateValue(atom, *found))

        return sink

    return make


# --- reference and uri ---------------------------------------------------------------------------


def _reference_sink(atom: str, datatype: str, types: frozenset[str]) -> Visit:
    literal = _literal(atom, types)
    if datatype == "Reference":
        return _reference(literal, token_values.coded("system", "value")(atom + IDENTIFIER))
    return _held(atom) if datatype == "Resource" else literal


def _reference(literal: Visit, identifier: Visit) -> Visit:
    def sink(value: Any, out: IndexValues) -> None:
        """Give the literal reference of a Reference and its identifier, as far as they are there."""
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
        """Give the type and id of a local reference, the url of any other, with and without its version."""
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
                beside_values.add_versions(atom, url, out)

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


def _canonical(atom: str) -> Visit:
    """Give a canonical with and without its version."""
    each = _uri(atom)

    def sink(value: Any, out: IndexValues) -> None:
        each(value, out)
        if type(value) is str and "|" in value:
            each(value.partition("|")[0], out)

    return sink


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if type(found) is str else ""


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
    "token": token_values.SINKS,
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
        **dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), measured.number),
        "Range": measured.number_range,
    },
    "quantity": {
        **dict.fromkeys(_QUANTITIES, measured.quantity),
        "Money": measured.money,
        "Range": measured.quantity_range,
    },
    "position": {"Location.position": measured.place},
    "uri": {"canonical": _canonical, **dict.fromkeys(("uri", "url", "oid", "uuid"), _uri)},
}
