"""What a resource is called on a list or a link: its name or code in words (FHIR R4 resourcelist.html)."""

from collections.abc import Callable

from fhir_server.pages import words
from fhir_server.pages.words import Json


def title(resource: Json) -> str:
    """Give what a resource is called; its type and id where nothing in it says."""
    for tell in (_named, _described, _coded):
        if found := tell(resource):
            return found
    return f"{resource.get('resourceType', '')} {resource.get('id', '')}".strip()


def _named(resource: Json) -> str:
    name = resource.get("name")
    if isinstance(name, list):
        return words.usual_name(name)
    if names := resource.get("deviceName"):
        return str(names[0].get("name", ""))
    return str(resource.get("title") or name or "")


def _described(resource: Json) -> str:
    described: dict[str, Callable[[Json], str]] = {
        "ImagingStudy": study,
        "Encounter": lambda r: words.coding(r.get("class", {})),
        "DocumentReference": lambda r: str(r.get("description", "")),
        "Claim": _items,
        "Provenance": lambda r: words.concept(r.get("activity", {})),
        "Bundle": lambda r: f"Bundle of kind {r.get('type', '')}",
    }
    tell = described.get(str(resource.get("resourceType")))
    return tell(resource) if tell else ""


def study(resource: Json) -> str:
    """Give what an ImagingStudy is called: its description, else its modalities."""
    return str(resource.get("description") or "") or modalities(resource) or "Imaging study"


def modalities(resource: Json) -> str:
    """Give the modalities of an ImagingStudy by their names."""
    return words.listed(words.coding(each) for each in resource.get("modality", ()))


def _items(claim: Json) -> str:
    return words.listed(
        words.concept(item.get("productOrService", {})) for item in claim.get("item", ())[:3]
    )


def _coded(resource: Json) -> str:
    for name in ("code", "type", "vaccineCode", "medicationCodeableConcept"):
        value = resource.get(name)
        values = value if isinstance(value, list) else [value]
        first = values[0] if values else None
        if isinstance(first, dict):
            return words.concept(first)
    return ""
