"""External constants: %resource, %ucum, %`vs-…` and what a caller adds (FHIR R4 fhirpath.html#variables)."""

from collections.abc import Mapping
from types import MappingProxyType

from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import SemanticFault
from resources.fhirpath.item import Item, text

_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "sct": "http://snomed.info/sct",
        "loinc": "http://loinc.org",
        "ucum": "http://unitsofmeasure.org",
    }
)
_PREFIXES: Mapping[str, str] = MappingProxyType(
    {
        "vs-": "http://hl7.org/fhir/ValueSet/",
        "ext-": "http://hl7.org/fhir/StructureDefinition/",
    }
)


def known(name: str) -> str | None:
    """Give the text that a constant always stands for, None for one that depends on the resource."""
    for prefix, url in _PREFIXES.items():
        if name.startswith(prefix):
            return url + name.removeprefix(prefix)
    return _TEXTS.get(name)


def constant(name: str) -> Run:
    """Give what lists the items of a constant by name; an unknown one is a SemanticFault in use."""
    always = known(name)
    if always is not None:
        found = [text(always)]
        return lambda _focus: found
    return _PLACES.get(name) or (lambda focus: _variable(focus, name))


def _context(focus: Focus) -> list[Item]:
    return focus.state.context


def _resource(focus: Focus) -> list[Item]:
    return [focus.state.tree.resource_of(item) for item in focus.state.context[:1]]


def _root(focus: Focus) -> list[Item]:
    return [focus.state.tree.root_of(item) for item in focus.state.context[:1]]


def _variable(focus: Focus, name: str) -> list[Item]:
    if name not in focus.state.environment.variables:
        raise SemanticFault("there is no such constant")
    return list(focus.state.environment.variables[name])


_PLACES: Mapping[str, Run] = MappingProxyType(
    {"context": _context, "resource": _resource, "rootResource": _root}
)
