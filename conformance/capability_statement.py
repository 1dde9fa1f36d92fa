"""The CapabilityStatement, built from plain definitions handed to it (FHIR R4 capabilitystatement.html)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from resources.definitions import Definitions, SearchParameter
from resources.model import Resource


class Offered(Struct, frozen=True):
    """What a server offers: interactions by level, conditional support, parameter types, operations.

    `operations` holds (code, canonical of its definition, types, levels) of each; `custom` the search
    parameters that were uploaded, `patch_formats` the media types of patches.
    """

    type_interactions: tuple[str, ...]
    system_interactions: tuple[str, ...]
    conditionals: Mapping[str, bool | str]
    parameter_types: frozenset[str]
    operations: Sequence[tuple[str, str, frozenset[str], frozenset[str]]] = ()
    lenient: bool = False
    smart: Mapping[str, str] | None = None
    custom: tuple[SearchParameter, ...] = ()
    patch_formats: tuple[str, ...] = ()


_GENERAL = (("_id", "token"), ("_lastUpdated", "date"))


def capability_statement(
    definitions: Definitions, offered: Offered, *, base: str, version: str, date: str
) -> Resource:
    """Give the CapabilityStatement of a server at `base`, with what it offers and nothing else."""
    refused = "ignored with a warning" if offered.lenient else "refused with 400"
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Hounsfield", "version": version},
        "implementation": {
            "description": "Hounsfield, FHIR-first imaging interoperability",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json", "application/fhir+xml", "xml"],
        **({"patchFormat": list(offered.patch_formats)} if offered.patch_formats else {}),
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    f"Unknown search parameters and modifiers are {refused} unless Prefer: handling says "
                    "otherwise. What is out of a token's reach is answered as if it were absent."
                ),
                **_security(offered.smart),
                "resource": [
                    _resource(definitions, offered, type_)
                    for type_ in sorted(definitions.resource_types)
                ],
                "interaction": [{"code": code} for code in offered.system_interactions],
                **_operations(offered, None),
            }
        ],
    }


def _resource(definitions: Definitions, offered: Offered, type_: str) -> dict[str, Any]:
    parameters = [
        _parameter(parameter)
        for parameter in (*definitions.search_parameters, *offered.custom)
        if type_ in _types(definitions, parameter) and searchable(offered, parameter)
    ]
    general = [{"name": name, "type": kind} for name, kind in _GENERAL]
    return {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in offered.type_interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        **offered.conditionals,
        "searchInclude": ["*", *_references(definitions, offered, type_)],
        "searchParam": general + parameters,
        **_operations(offered, type_),
    }


def searchable(offered: Offered, parameter: SearchParameter) -> bool:
    """Tell whether a search parameter is one that the server answers."""
    special = parameter.code in {"_id", "_lastUpdated"}
    return bool(parameter.expression) and parameter.type in offered.parameter_types and not special


def _types(definitions: Definitions, parameter: SearchParameter) -> frozenset[str]:
    """Give the concrete types that a parameter is for."""
    if "Resource" in parameter.base:
        return definitions.resource_types
    if "DomainResource" in parameter.base:
        return definitions.resource_types - {"Binary", "Bundle", "Parameters"}
    return frozenset(parameter.base)


def _parameter(parameter: SearchParameter) -> dict[str, Any]:
    return {"name": parameter.code, "definition": parameter.url, "type": parameter.type}


def _references(definitions: Definitions, offered: Offered, type_: str) -> list[str]:
    return [
        f"{type_}:{parameter.code}"
        for parameter in (*definitions.search_parameters, *offered.custom)
        if parameter.type == "reference"
        and type_ in parameter.base
        and searchable(offered, parameter)
    ]


def _operations(offered: Offered, type_: str | None) -> dict[str, Any]:
    """Give the operations of a type, or of the whole system for None."""
    found = [
        {"name": code, "definition": canonical}
        for code, canonical, types, levels in offered.operations
        if _offers(type_, types, levels)
    ]
    return {"operation": found} if found else {}


def _offers(type_: str | None, types: frozenset[str], levels: frozenset[str]) -> bool:
    """Tell whether an operation is one of a type, or of the whole system; no types are all of them."""
    if type_ is None:
        return "system" in levels
    return (type_ in types or not types) and not levels.isdisjoint({"type", "instance"})


def _security(smart: Mapping[str, str] | None) -> dict[str, Any]:
    if smart is None:
        return {}
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    uris = [{"url": name, "valueUri": url} for name, url in smart.items()]
    extension = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": uris,
    }
    return {
        "security": {
            "extension": [extension],
            "cors": True,
            "service": [{"coding": [{"system": system, "code": "SMART-on-FHIR"}]}],
        }
    }
