"""What a file's resource asks for: to be put, or, as a Bundle of requests, to be done as it says."""

import uuid
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from fhir_server.files import Text
from fhir_server.interactions import linking
from resources import definitions
from resources.model import Resource
from resources.outcome import Invalid

_REQUESTS: Final = frozenset({"transaction", "batch"})


def asks(resource: Resource) -> bool:
    """Tell whether a resource is a Bundle of requests."""
    return resource["resourceType"] == "Bundle" and resource.get("type") in _REQUESTS


class Place(Struct, frozen=True):
    """Where a text stands: the mark of its file as it is, and its line from 1. Ids are made of it."""

    mark: str
    line: int

    def id(self, number: int) -> str:
        """Give the id of a resource of the text that has none, the same whenever the file is loaded."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.mark}/{self.line}/{number}"))


class _Member(Struct, frozen=True):
    """A resource of a collection, its full URL ("" for none), and what stands for the full URLs there."""

    resource: Resource
    full_url: str
    targets: dict[str, str]


def singles(resource: Resource, place: Place) -> list[Resource]:
    """Give a resource, or each resource of a collection with an id and its links to the others replaced.

    As in a transaction, the place here stands for a full URL (FHIR R4 bundle.html#references). What is
    malformed stays as it is, to be refused. Raises Invalid where a full URL would stand for two resources.
    """
    if not _collects(resource):
        return [resource]
    members = [
        member if "id" in member.resource else _named(member, place.id(number))
        for number, member in enumerate(_members(resource))
    ]
    for member in members:
        _target(member)
    known = definitions.load()
    return [
        linking.Links(known, member.targets).linked(member.resource, member.full_url)
        for member in members
    ]


def _collects(resource: Resource) -> bool:
    """Tell whether a resource is a collection whose entries are sound."""
    if resource["resourceType"] != "Bundle" or resource.get("type") != "collection":
        return False
    entries = resource.get("entry", [])
    return isinstance(entries, list) and all(map(_sound, entries))


def _members(collection: Resource) -> Iterator[_Member]:
    """Give the resources of a collection, of one within it with the links of that one."""
    targets: dict[str, str] = {}
    for entry in collection.get("entry", []):
        held, full_url = entry.get("resource"), entry.get("fullUrl")
        if held is not None and _collects(held):
            yield from _members(held)
        elif held is not None:
            yield _Member(held, full_url if isinstance(full_url, str) else "", targets)


def _named(member: _Member, id_: str) -> _Member:
    held = {"resourceType": member.resource["resourceType"], "id": id_, **member.resource}
    return _Member(held, member.full_url, member.targets)


def _target(member: _Member) -> None:
    """Keep what stands for the full URL of a member, if it has one."""
    url, found = member.full_url, f"{member.resource['resourceType']}/{member.resource['id']}"
    if url and member.targets.setdefault(url, found) != found:
        raise Invalid("Two entries have the same fullUrl", expression="Bundle.entry.fullUrl")


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
