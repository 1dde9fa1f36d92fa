"""Does a server meet a CapabilityStatement of requirements? (R4 capabilitystatement.html#instantiates)"""

from collections.abc import Iterator, Mapping
from typing import Any

from resources.model import Resource

_EXPECTATION = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation"


def unmet(requirement: Resource, statement: Resource) -> tuple[str, ...]:
    """Give what a server SHALL do by `requirement` and does not by `statement`, in a few words each."""
    return tuple(_unmet(_server(requirement), _server(statement)))


def for_servers(requirement: Resource) -> bool:
    """Tell whether a CapabilityStatement states what servers are to do."""
    return requirement.get("kind") == "requirements" and bool(_server(requirement))


def _server(statement: Resource) -> Mapping[str, Any]:
    found = [rest for rest in statement.get("rest", ()) if rest.get("mode") == "server"]
    return found[0] if found else {}


def _unmet(wanted: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    yield from _missing(wanted, ours, "interaction", "code", "")
    yield from _missing(wanted, ours, "operation", "name", "")
    have = {one["type"]: one for one in ours.get("resource", ())}
    for one in wanted.get("resource", ()):
        type_ = one["type"]
        if not _shall(one):
            continue
        held = have.get(type_, {})
        for name, key in (("interaction", "code"), ("operation", "name"), ("searchParam", "name")):
            yield from _missing(one, held, name, key, f"{type_}: ")


def _missing(
    wanted: Mapping[str, Any], ours: Mapping[str, Any], name: str, key: str, where: str
) -> Iterator[str]:
    held = {one[key] for one in ours.get(name, ())}
    for one in wanted.get(name, ()):
        if _shall(one) and one[key] not in held:
            yield f"{where}{name} {one[key]}"


def _shall(element: Mapping[str, Any]) -> bool:
    """Tell whether an element is required; without a word on it, it is."""
    told = [
        e.get("valueCode") for e in element.get("extension", ()) if e.get("url") == _EXPECTATION
    ]
    return told in ([], ["SHALL"])
