"""Who sends, and what its identifiers, times and codes mean: the configuration of one HL7 v2 source."""

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from fhir_server.hl7v2.times import Zone

_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")

US_SSN = "http://hl7.org/fhir/sid/us-ssn"

KNOWN_ASSIGNERS: Mapping[str, str] = {
    "USSSA": US_SSN,
    "2.16.840.1.113883.4.1": US_SSN,
    "2.16.840.1.113883.4.6": "http://hl7.org/fhir/sid/us-npi",
}


class Assigner(NamedTuple):
    """An HD: who assigns an identifier, by namespace, by universal id and its type (table 0301)."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    @property
    def name(self) -> str:
        """Give what a person knows it by."""
        return self.namespace or self.universal_id


class Sender(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of messages. `application` and `facility` are MSH-3 and MSH-4, "*" any.

    `assigners` maps namespaces and universal ids of assigning authorities to identifier systems,
    `code_systems` names of coding systems to their URIs. `assigner` is the namespace of identifiers
    that name none (by default the sending facility), `accession_assigner` that of accession numbers.
    `zone` is the IANA zone of times without one. `identifier_types` are those that may identify a
    patient, best first. With `orders_update_patients` orders, not only ADT, change patients that exist.
    """

    application: str = "*"
    facility: str = "*"
    tenant: str = "default"
    zone: str | None = None
    assigners: Mapping[str, str] = field(default_factory=dict)
    code_systems: Mapping[str, str] = field(default_factory=dict)
    assigner: str = ""
    accession: Literal["OBR-18", "filler"] = "OBR-18"
    accession_assigner: str = ""
    character_set: str = ""
    processing: frozenset[str] = frozenset({"P", "T", "D"})
    identifier_types: tuple[str, ...] = ("MR", "PI", "PT", "MRT", "EPI", "INS", "INS-C")
    orders_update_patients: bool = False

    def system(self, assigner: Assigner) -> str:
        """Give the identifier system of an assigning authority.

        The configured one by universal id or namespace, else `urn:oid:` or `urn:uuid:` of the universal
        id, the universal id itself if it is a URI, else `urn:hounsfield:assigner:` and the namespace.
        """
        for key in (assigner.universal_id, assigner.namespace):
            if key and (found := self.assigners.get(key) or KNOWN_ASSIGNERS.get(key)):
                return found
        return _universal(assigner) or local_system(assigner.name)

    def code_system(self, name: str) -> str | None:
        """Give the configured URI of a coding system's name, or None."""
        return self.code_systems.get(name)


class Senders(Struct, frozen=True, forbid_unknown_fields=True):
    """The sources known; `default` takes messages of all others, None refuses them."""

    known: tuple[Sender, ...] = ()
    default: Sender | None = Sender()

    def find(self, application: str, facility: str) -> Sender | None:
        """Give the sender whose application and facility fit best, or the default."""
        fitting = [
            sender
            for sender in self.known
            if sender.application in {"*", application} and sender.facility in {"*", facility}
        ]
        fitting.sort(key=lambda sender: (sender.application == "*") + (sender.facility == "*"))
        return fitting[0] if fitting else self.default


class SendersError(ValueError):
    """The configuration of senders is wrong; the text says where."""


def configured(toml: bytes, zone: str | None = None) -> Senders:
    """Give the senders of a TOML text: [[known]] tables, [default] or default = false to refuse others.

    `zone` is that of senders which name none. Raises SendersError.
    """
    try:
        plain = tomllib.loads(toml.decode())
        if plain.get("default") is False:
            plain["default"] = None
        found = msgspec.convert(plain, Senders, strict=True)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise SendersError(f"The senders cannot be read: {fault}") from None
    known = tuple(_zoned(sender, zone) for sender in found.known)
    return Senders(known, _zoned(found.default, zone) if found.default else None)


def _zoned(sender: Sender, zone: str | None) -> Sender:
    """Give the sender with a zone if it has none; raises SendersError for a zone that does not exist."""
    given = replace(sender, zone=sender.zone or zone)
    try:
        Zone(given.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SendersError("The senders cannot be read: a zone does not exist") from None
    return given


@lru_cache(maxsize=1024)
def local_system(*parts: str) -> str:
    """Give the identifier system of an assigner that has no URI: urn:hounsfield:assigner:NAME[:KIND]."""
    return "urn:hounsfield:assigner:" + ":".join(quote(part, safe="") for part in parts)


def _universal(assigner: Assigner) -> str:
    """Give the URI that a universal id is by its type, or nothing."""
    value, kind = assigner.universal_id, assigner.universal_id_type.upper()
    if kind in {"", "ISO"} and _OID.fullmatch(value):
        return f"urn:oid:{value}"
    if kind in {"UUID", "GUID"} and (identifier := _uuid(value)):
        return f"urn:uuid:{identifier}"
    return value if kind in {"URI", "URL"} and _URI.fullmatch(value) else ""


def _uuid(value: str) -> str:
    """Give a UUID in its canonical form, or nothing."""
    try:
        return str(UUID(value))
    except ValueError:
        return ""
