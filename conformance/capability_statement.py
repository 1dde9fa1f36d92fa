"""The CapabilityStatement, built from plain definitions handed to it (FHIR R4 capabilitystatement.html)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from resources.definitions import Definitions, SearchParameter
from resources.model import Resource


class Offered(Struct, frozen=True):
    """What a server offers: interactions by level, conditional support, parameter types, operations.

    `operations` holds (code, canonical of its definition, types, levels) of each; `custom` the search
    parameters that were uploaded, `patch_formats` the media types of patches, `profiles` those that are
    supported, by type, `modifiers` those of searches, by type of parameter; `instantiates` and `guides` are
    canonicals of what is implemented, `unaltered` the types that are never updated or deleted,
    `unread` those that are not found by words, `altering` the operations that change the instance.
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
    profiles: Mapping[str, Sequence[str]] = {}
    modifiers: Mapping[str, Sequence[str]] = {}
    instantiates: tuple[str, ...] = ()
    guides: tuple[str, ...] = ()
    unaltered: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    altering: frozenset[str] = frozenset()


_ALTERING = frozenset({"update", "patch", "delete"})
_GENERAL = (
    ("_id", "token"),
    ("_lastUpdated", "date"),
    ("_text", "string"),
    ("_content", "string"),
    ("_list", "special"),
    ("_filter", "special"),
    ("_orphan", "special"),
)
_WORDS = frozenset({"_text", "_content"})
_TOLD = {
    "_text": 'Words, "phrases", prefix*, AND, OR and parentheses, in the narrative',
    "_content": "As _text, in all that is written in the resource",
    "_orphan": "true: no resource, AuditEvents apart, has a literal reference to it; false: some has",
}
_SYSTEM = (("_type", "token"), *_GENERAL)


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
        **({"instantiates": list(offered.instantiates)} if offered.instantiates else {}),
        "software": {"name": "Hounsfield", "version": version},
        "implementation": {
            "description": "Hounsfield, FHIR-first imaging interoperability",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json", "application/fhir+xml", "xml"],
        **({"patchFormat": list(offered.patch_formats)} if offered.patch_formats else {}),
        **({"implementationGuide": list(offered.guides)} if offered.guides else {}),
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    f"Unknown search parameters and modifiers are {refused} unless Prefer: handling says "
                    "otherwise. What is out of a token's reach is answered as if it were absent."
                    f"{_modifiers(offered)}"
                ),
                **_security(offered.smart),
                "resource": [
                    _resource(definitions, offered, type_)
                    for type_ in sorted(definitions.resource_types)
                ],
                "interaction": [{"code": code} for code in offered.system_interactions],
                "searchParam": [_general(name, kind) for name, kind in _SYSTEM],
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
    words = _WORDS if type_ in offered.unread else frozenset()
    general = [_general(name, kind) for name, kind in _GENERAL if name not in words]
    return {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        **(
            {"supportedProfile": list(profiles)}
            if (profiles := offered.profiles.get(type_))
            else {}
        ),
        "interaction": [{"code": code} for code in _interactions(offered, type_)],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        **_conditionals(offered, type_),
        "searchInclude": ["*", *_references(definitions, offered, type_)],
        "searchRevInclude": ["*", *_referrers(definitions, offered, type_)],
        "searchParam": general + parameters,
        **_operations(offered, type_),
    }


def _modifiers(offered: Offered) -> str:
    """Give the sentence that names the modifiers by type of parameter; R4 has no element for them."""
    if not offered.modifiers:
        return ""
    told = (
        f"{type_} {', '.join(f':{code}' for code in codes)}"
        for type_, codes in sorted(offered.modifiers.items())
    )
    return f" Modifiers: {'; '.join(told)}; reference also :[type]."


def _interactions(offered: Offered, type_: str) -> list[str]:
    """Give the interactions of a type; what is never altered is neither updated nor deleted."""
    out = _ALTERING if type_ in offered.unaltered else frozenset[str]()
    return [code for code in offered.type_interactions if code not in out]


def _conditionals(offered: Offered, type_: str) -> Mapping[str, bool | str]:
    if type_ not in offered.unaltered:
        return offered.conditionals
    none: dict[str, bool | str] = {"conditionalUpdate": False, "conditionalDelete": "not-supported"}
    return {**offered.conditionals, **none}


def _general(name: str, kind: str) -> dict[str, str]:
    """Give a search parameter that R4 or this server has on all types."""
    told = {"documentation": _TOLD[name]} if name in _TOLD else {}
    return {"name": name, "type": kind, **told}


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


def _referrers(definitions: Definitions, offered: Offered, type_: str) -> list[str]:
    """Give the reference parameters of any type that may lead to a type."""
    return [
        f"{base}:{parameter.code}"
        for parameter in (*definitions.search_parameters, *offered.custom)
        if parameter.type == "reference"
        and (not parameter.target or type_ in parameter.target)
        and searchable(offered, parameter)
        for base in parameter.base
        if base in definitions.resource_types
    ]


def _operations(offered: Offered, type_: str | None) -> dict[str, Any]:
    """Give the operations of a type, or of the whole system for None."""
    found = [
        {"name": code, "definition": canonical}
        for code, canonical, types, levels in offered.operations
        if _offers(type_, types, levels)
        and not (type_ in offered.unaltered and code in offered.altering)
    ]
    return {"operation": found} if found else {}


def _offers(type_: str | None, types: frozenset[str], levels: frozenset[str]) -> bool:
    """Tell whether an operation is one of a type, or of the whole system; no types are all of them."""
    if type_ is None:
        return "system" in levels
    return (type_ in types or not types) and not levels.isdisjoint({"type", "instance"})


SCOPE_RULES = (
    "SMART scopes, version 1 and 2, decide what a token may do. An $operation has no scope of its own: "
    "it needs the letters of the interactions that it consists of on the types that it touches, and reads "
    "nothing that those interactions would not give. /dicom-web follows ImagingStudy: s searches, r "
    "retrieves metadata, instances, frames, rendered images and bulk data, c and u without limits store; "
    "a study is there for whom its ImagingStudy is."
)
"""How scopes apply beyond plain interactions, as rest.security.description says it."""


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
            "description": SCOPE_RULES,
        }
    }
