"""A concept's properties have values of the type that is declared (FHIR R4 codesystem.html#properties)."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue

_VALUES: Mapping[str, str] = MappingProxyType(
    {
        "Coding": "valueCoding",
        "boolean": "valueBoolean",
        "code": "valueCode",
        "dateTime": "valueDateTime",
        "decimal": "valueDecimal",
        "integer": "valueInteger",
        "string": "valueString",
    }
)


def issues(resource: Resource, expression: str, definitions: Definitions) -> Iterator[Issue]:
    """Give the concept properties whose value is of another type than declared."""
    del definitions
    declared = {
        held["code"]: _VALUES.get(held.get("type", ""))
        for held in resource.get("property", ())
        if isinstance(held.get("code"), str)
    }
    if not declared:
        return
    stack = [(resource.get("concept", ()), f"{expression}.concept")]
    while stack:
        concepts, at = stack.pop()
        for index, concept in enumerate(concepts):
            place = f"{at}[{index}]"
            yield from _of_concept(concept, place, declared)
            stack.append((concept.get("concept", ()), f"{place}.concept"))


def _of_concept(
    concept: Mapping[str, Any], at: str, declared: Mapping[str, str | None]
) -> Iterator[Issue]:
    for index, held in enumerate(concept.get("property", ())):
        wanted = declared.get(held.get("code", ""))
        if wanted and wanted not in held and f"_{wanted}" not in held:
            text = "The value of a concept's property is of the type that the property declares"
            yield Issue("error", "invalid", text, f"{at}.property[{index}].value")
