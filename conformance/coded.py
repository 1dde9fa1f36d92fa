"""Codes by R4's bindings and by their code systems, as $validate tells them (R4 terminologies.html).

Required bindings whose codes are enumerated are the structure's (conformance/schema.py), on every write. What
is told here asks a terminology: the other required bindings, extensible ones as warnings, preferred ones as
information, and codes that their own code system does not have.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from conformance.terminology.port import Terminology, UnknownCodeSystem, UnknownValueSet
from resources import ucum
from resources.definitions import Binding, Definitions
from resources.model import Resource
from resources.outcome import FhirError, Issue

_SEVERITY: Mapping[str, str] = {
    "required": "error",
    "extensible": "warning",
    "preferred": "information",
}
_WORDS: Mapping[str, str] = {
    "required": "The code is of the value set {}",
    "extensible": "The code is of the value set {}, but where none of its codes fits",
    "preferred": "A code of the value set {} is preferred",
}
_UCUM = "http://unitsofmeasure.org"
_QUANTITIES = frozenset(("Quantity", "Age", "Count", "Distance", "Duration"))
_CODED = frozenset(("code", "Coding", "CodeableConcept"))
_MOST = 100
# HL7's own examples write xml and json where media types are required
_LOOSE = frozenset(("http://hl7.org/fhir/ValueSet/mimetypes",))


class _Edge(NamedTuple):
    """A property: the name of its element, the type of its values, and the binding that is asked."""

    name: str
    content: str
    binding: Binding | None


class Coded:
    """Tells codes; what a terminology does not hold is passed over."""

    def __init__(self, definitions: Definitions, terminology: Terminology) -> None:
        self._definitions = definitions
        self._terminology = terminology
        self._edges: dict[str, dict[str, _Edge]] = {}

    def issues(self, resource: Resource) -> tuple[Issue, ...]:
        """Give what is to be said of the codes of a resource whose structure is right; at most 100 issues."""
        found: dict[Issue, None] = {}
        for issue in self._of_object(resource, resource["resourceType"], resource["resourceType"]):
            found[issue] = None
            if len(found) == _MOST:
                break
        return tuple(found)

    def _of_object(self, value: Mapping[str, Any], path: str, at: str) -> Iterator[Issue]:
        edges = self._edges.get(path)
        if edges is None:
            edges = self._edges[path] = dict(self._found(path))
        for name, held in value.items():
            edge = edges.get(name)
            if edge is None:
                continue
            place = f"{at}.{edge.name}"
            if isinstance(held, list):
                for index, item in enumerate(held):
                    yield from self._of_value(item, edge, f"{place}[{index}]")
            else:
                yield from self._of_value(held, edge, place)

    def _found(self, path: str) -> Iterator[tuple[str, _Edge]]:
        definitions = self._definitions
        for element in definitions.children(path).values():
            bound = (
                element.binding
                if element.binding and _is_asked(element.binding, definitions)
                else None
            )
            for name, type_ref in definitions.json_names(element).items():
                content = definitions.content(path, element, type_ref)
                if definitions.kind(content) != "primitive" or (bound and content == "code"):
                    yield name, _Edge(element.name, content, bound)
                if definitions.kind(content) == "primitive":
                    yield f"_{name}", _Edge(element.name, "Element", None)

    def _of_value(self, value: Any, edge: _Edge, at: str) -> Iterator[Issue]:
        if edge.content in _CODED and edge.binding is not None:
            yield from self._bound(value, edge.content, edge.binding, at)
        if not isinstance(value, dict):
            return
        if edge.content == "Coding":
            yield from self._coding(value, at)
        elif edge.content in _QUANTITIES:
            yield from _unit(value, at)
        inner = value.get("resourceType", edge.content)
        yield from self._of_object(value, inner, at)

    def _bound(self, value: Any, content: str, binding: Binding, at: str) -> Iterator[Issue]:
        if content == "code":
            codings: list[tuple[str | None, Any]] = [(None, value)]
        else:
            held = value.get("coding", ()) if content == "CodeableConcept" else (value,)
            codings = [(coding.get("system", ""), coding.get("code")) for coding in held]
        asked = [(system, code) for system, code in codings if isinstance(code, str)]
        if asked and all(self._is_outside(binding.value_set, *coding) for coding in asked):
            text = _WORDS[binding.strength].format(binding.value_set)
            is_loose = binding.value_set in _LOOSE
            severity = "warning" if is_loose else _SEVERITY[binding.strength]
            yield Issue(severity, "code-invalid", text, at)

    def _is_outside(self, value_set: str, system: str | None, code: str) -> bool:
        try:
            return self._terminology.validate_code(value_set, system, code).result is False
        except FhirError:
            return False

    def _coding(self, coding: Mapping[str, Any], at: str) -> Iterator[Issue]:
        system, code = coding.get("system"), coding.get("code")
        if not isinstance(system, str) or not isinstance(code, str):
            return
        try:
            known = self._terminology.lookup(system, code) is not None
        except (UnknownCodeSystem, UnknownValueSet):
            return
        if not known:
            yield Issue(
                "error", "code-invalid", f"The code system {system} has no such code", f"{at}.code"
            )


def _is_asked(binding: Binding, definitions: Definitions) -> bool:
    """Tell whether a binding is told here: any but examples and those that the structure checks."""
    if binding.strength == "required":
        return definitions.codes(binding.value_set) is None
    return binding.strength in _SEVERITY


def _unit(quantity: Mapping[str, Any], at: str) -> Iterator[Issue]:
    """A code of UCUM follows its grammar (http://unitsofmeasure.org)."""
    code = quantity.get("code")
    if quantity.get("system") != _UCUM or not isinstance(code, str):
        return
    try:
        ucum.parse(code)
    except ucum.UnknownUnit:
        text = "The unit is no expression of UCUM that is known here"
        yield Issue("warning", "code-invalid", text, f"{at}.code")
