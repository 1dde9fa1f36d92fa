"""What a file's resource asks for: to be put, or, as a Bundle of requests, to be done as it says."""

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.files import Text
from fhir_server.interactions import linking
from resources import definitions
from resources.model import Resource

_REQUESTS: Final = frozenset({"transaction", "batch"})


def asks(resource: Resource) -> bool:
    """Tell whether a resource is a Bundle of requests."""
    return resource["resourceType"] == "Bundle" and resource.get("type") in _REQUESTS


def singles(resource: Resource) -> Iterator[Resource]:
    """Give a resource, or each resource of a collection; one that is malformed stays whole, to be refused."""
    collects = resource["resourceType"] == "Bundle" and resource.get("type") == "collection"
    entries = resource.get("entry", [])
    if not collects or not isinstance(entries, list) or not all(map(_sound, entries)):
        yield resource
        return
    for entry in entries:
        if "resource" in entry:
            yield from singles(entry["resource"])


def _sound(entry: Any) -> bool:
    """Tell whether an entry of a collection has a resource, or none."""
    if not isinstance(entry, dict):
        return False
    held = entry.get("resource", {"resourceType": ""})
    return isinstance(held, dict) and isinstance(held.get("resourceType"), str)


def refers_by_query(text: Text, resource: Resource) -> bool:
    """Tell whether a resource of a text has a reference that is a query, e.g. `Patient?identifier=…`."""
    if b"?" not in text.raw:  # as nearly all
        return False
    return any(True for _ in linking.conditional_references(definitions.load(), resource))


def reason(outcome: Resource) -> str:
    """Give the first issue of an OperationOutcome as a sentence with its place."""
    for issue in outcome.get("issue", []):
        where = (issue.get("expression") or [""])[0]
        text = issue.get("diagnostics", issue.get("code", "refused"))
        return f"{text} ({where})" if where else str(text)
    return "refused"
