"""OperationDefinitions of what is declared (FHIR R4 operationdefinition.html)."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from resources.definitions import Definitions
from resources.model import Resource

_SEARCH_TYPES = frozenset({"string", "token", "uri"})


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter: its use (in, out), how many, its FHIR type, a sentence."""

    name: str
    use: str
    type: str
    documentation: str
    min: int = 0
    max: int | None = 1


class Declared(Struct, frozen=True, kw_only=True):
    """One operation as it is declared; no types are all of them."""

    code: str
    canonical: str
    types: frozenset[str]
    levels: frozenset[str]
    affects_state: bool
    documentation: str
    parameters: Sequence[Parameter] = ()


def operation_definition(declared: Declared, definitions: Definitions, version: str) -> Resource:
    """Give the OperationDefinition; one that R4 defines is named as its base."""
    found: Resource = {
        "resourceType": "OperationDefinition",
        "id": declared.canonical.rpartition("/")[2],
        "url": declared.canonical,
        "version": version,
        "name": _name(declared.code),
        "title": f"${declared.code}",
        "status": "active",
        "kind": "operation",
        "description": declared.documentation.strip(),
        "affectsState": declared.affects_state,
        "code": declared.code,
    }
    base = _base(declared, definitions)
    if base:
        found["base"] = base
    if not declared.levels.isdisjoint({"type", "instance"}):
        found["resource"] = sorted(declared.types) or ["Resource"]
    for level in ("system", "type", "instance"):
        found[level] = level in declared.levels
    parameters = [_parameter(one) for one in declared.parameters]
    return found | ({"parameter": parameters} if parameters else {})


def _name(code: str) -> str:
    """Give a name that programs can use: PackageInstall."""
    return "".join(part[:1].upper() + part[1:] for part in code.split("-"))


def _base(declared: Declared, definitions: Definitions) -> str | None:
    """Give R4's own operation of the code on the types, None where R4 has none."""
    for one in definitions.operations:
        of_types = not declared.types or set(one.types) & (declared.types | {"Resource"})
        if one.code == declared.code and of_types:
            return one.url
    return None


def _parameter(one: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": one.name,
        "use": one.use,
        "min": one.min,
        "max": "*" if one.max is None else str(one.max),
        "documentation": one.documentation,
    }
    if one.type == "BackboneElement":  # its parts are told in words
        return told | {"type": "Element"}
    return told | {"type": one.type}
