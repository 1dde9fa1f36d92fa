"""The transaction Bundle that a message becomes (FHIR R4 http.html#transaction).

Every entry finds its resource by an identifier, and its fullUrl is derived from tenant, type and
identifier: the same message gives the same Bundle, and no message makes a second resource of what exists.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from fhir_server.hl7v2.coverage import Gap
from fhir_server.hl7v2.message import Message, Segment
from fhir_server.hl7v2.refusal import DuplicateKey
from fhir_server.hl7v2.sender import Assigner, Sender, local_system
from fhir_server.hl7v2.times import Zone
from resources.model import Resource

_NAMESPACE = UUID("5b0c2b1e-9b1f-5c62-9d0a-6b1f1d1a7a52")
_PLAIN = re.compile(r"[A-Za-z0-9:/._-]*", re.ASCII)
_ESCAPED = str.maketrans({"\\": "\\\\", ",": "\\,", "|": "\\|", "$": "\\$"})


def stable_id(*parts: str) -> str:
    """Give a UUID that is the same for the same parts."""
    return str(uuid5(_NAMESPACE, "\x00".join(parts)))


def by_identifier(identifier: Mapping[str, Any]) -> str:
    """Give the search that finds a resource by an identifier: identifier=system|value, escaped."""
    return f"identifier={_token(identifier['system'])}|{_token(identifier['value'])}"


def _token(text: str) -> str:
    """Give text as part of a token in a URL: escaped for FHIR search, then for the URL."""
    if _PLAIN.fullmatch(text):
        return text
    return quote(text.translate(_ESCAPED), safe=":/.~-_")


class Transaction:
    """Collects entries and gaps while a map reads a message of a sender."""

    def __init__(self, message: Message, sender: Sender) -> None:
        self.message = message
        self.sender = sender
        self.zone = Zone(sender.zone, message.header.value("7"))
        self.gaps: list[Gap] = []
        self._entries: dict[str, Resource] = {}
        header = message.header
        facility = Assigner(header.value("4.1"), header.value("4.2"), header.value("4.3"))
        application = Assigner(header.value("3.1"), header.value("3.2"), header.value("3.3"))
        self._default = Assigner(sender.assigner) if sender.assigner else facility
        if not self._default.name:
            self._default = application

    def fallback(self, kind: str = "") -> str:
        """Give the system of identifiers that name no assigner; `kind` keeps number circles apart."""
        if not kind:
            return self.sender.system(self._default)
        return local_system(self._default.name, kind)

    def note(self, segment: Segment, number: int, reason: str) -> None:
        """Tell that the content of a field is not in the Bundle, and why."""
        self.gaps.append(Gap(segment.name, segment.location(number), reason))

    def update(self, resource: Resource, identifier: Mapping[str, Any], *, place: str) -> str:
        """Add a conditional update by identifier, and give the reference to it.

        Raises DuplicateKey, at `place`, if the message already writes that resource.
        """
        type_ = resource["resourceType"]
        reference = self._reference(type_, identifier)
        if reference in self._entries:
            raise DuplicateKey("Two parts of the message have one identifier", location=place)
        self._add(reference, resource, "PUT", f"{type_}?{by_identifier(identifier)}")
        return reference

    def create(self, resource: Resource, identifier: Mapping[str, Any]) -> str:
        """Add a conditional create by identifier, once in a message, and give the reference to it."""
        type_ = resource["resourceType"]
        reference = self._reference(type_, identifier)
        if reference not in self._entries:
            self._add(reference, resource, "POST", type_)
            condition = by_identifier(identifier)
            self._entries[reference]["request"]["ifNoneExist"] = condition
        return reference

    def patch(self, type_: str, operations: list[Resource], identifier: Mapping[str, Any]) -> str:
        """Add a conditional FHIRPath Patch by identifier, and give the reference to it."""
        reference = self._reference(type_, identifier)
        parameters = {"resourceType": "Parameters", "parameter": operations}
        self._add(reference, parameters, "PATCH", f"{type_}?{by_identifier(identifier)}")
        return reference

    def put(self, resource: Resource) -> str:
        """Add an update of a resource whose id is derived from the message, and give the reference to it."""
        type_, id_ = resource["resourceType"], resource["id"]
        self._add(f"urn:uuid:{id_}", resource, "PUT", f"{type_}/{id_}")
        return f"urn:uuid:{id_}"

    def references(self, *types: str) -> list[str]:
        """Give the references to what is written so far, of the types or of all."""
        return [
            reference
            for reference, entry in self._entries.items()
            if not types or entry["request"]["url"].split("?")[0].split("/")[0] in types
        ]

    def bundle(self) -> Resource:
        """Give the transaction Bundle."""
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": list(self._entries.values()),
        }

    def _reference(self, type_: str, identifier: Mapping[str, Any]) -> str:
        parts = (self.sender.tenant, type_, identifier["system"], identifier["value"])
        return f"urn:uuid:{stable_id(*parts)}"

    def _add(self, reference: str, resource: Resource, method: str, url: str) -> None:
        self._entries[reference] = {
            "fullUrl": reference,
            "resource": resource,
            "request": {"method": method, "url": url},
        }
