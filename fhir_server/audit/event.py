"""A record as an AuditEvent by the Basic Audit Log Patterns (IHE ITI BALP 1.1.3, FHIR R4 auditevent.html)."""

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from msgspec.structs import replace

from fhir_server.audit.record import ACTIONS, Record
from fhir_server.store.port import instant
from resources.model import Resource

CODES = "urn:hounsfield:audit"
"""The system of subtypes that no standard has a code for."""
MINUTE_MS = 60_000
"""How long the frames of a study that one caller has are one event."""
REQUEST_ID = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_PROFILES = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_PURPOSE = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_SOURCE, _DESTINATION, _APPLICATION = "110153", "110152", "110150"
_DISCLOSE = ("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose")
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"

_INTERACTIONS = frozenset(
    [
        "read",
        "vread",
        "history-instance",
        "history-type",
        "history-system",
        "create",
        "update",
        "patch",
        "delete",
        "search-type",
        "search-system",
        "operation",
    ]
)
_KINDS: Mapping[str, tuple[str, tuple[str, str]]] = MappingProxyType(
    {
        "login": ("110114", (_DCM, "110122")),
        "logout": ("110114", (_DCM, "110123")),
        "token": ("110114", ("urn:ihe:event-type-code", "ITI-71")),
        "introspect": ("110114", ("urn:ihe:event-type-code", "ITI-102")),
        "search-studies": ("110112", (CODES, "search-studies")),
        "frames": ("110104", (CODES, "frames")),
        "store": ("110104", (CODES, "store")),
        "message": ("110107", (CODES, "message")),
        "export": ("110106", (CODES, "export")),
        "export-file": ("110106", _DISCLOSE),
        "sweep": ("110101", (CODES, "sweep")),
    }
)
_SIGNING_IN = frozenset({"authorize", "consent", "launch", "revoke", "refused"})
_METHODS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATTERNS = {"C": "Create", "R": "Read", "U": "Update", "D": "Delete"}


def accesses(record: Record) -> tuple[Record, ...]:
    """Give the accesses that a record tells of: one for each that a transaction wrote or that was deleted."""
    if not record.written:
        return (record,)
    return tuple([_access(record, method, what) for method, what in record.written])


def _access(record: Record, method: str, what: str) -> Record:
    """Give one of several; a condition that nothing matched is told as the query that it is."""
    act = _METHODS.get(method, "operation")
    path, _, query = what.partition("?")
    if query:
        asked = tuple(parse_qsl(query, keep_blank_values=True))
        return replace(record, act=act, path=path, what=(), query=asked, written=())
    path = "" if record.act == "bundle" else record.path
    return replace(record, act=act, path=path, what=(what,), written=())


class Accessed(Struct, frozen=True):
    """One access and what was found of it: references of the entities, logical ids of the patients."""

    id: str
    record: Record
    entities: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()


class Caller(NamedTuple):
    """Who made an access, as its record has it."""

    client: str
    subject: str
    user: str
    address: str
    purpose: str


def event(accessed: Accessed, server: str) -> Resource:
    """Give the AuditEvent of one access; `server` is our own address.

    A success that fits a pattern names it as its profile.
    """
    record = accessed.record
    made: Resource = {"resourceType": "AuditEvent", "id": accessed.id}
    pattern = pattern_of(accessed)
    if pattern:
        made["meta"] = meta(pattern)
    made |= what(record.act)
    made |= when(record)
    made |= outcome(record.status, record.purpose)
    made |= who(ACTIONS.get(record.act, "E"), caller(record), server)
    found = [*asked(record), *map(patient, accessed.patients), *map(entity, accessed.entities)]
    if record.request:
        found.append(request(record.request))
    if found:
        made["entity"] = found
    return made


def meta(pattern: str) -> dict[str, Any]:
    """Give the meta of an event that follows a pattern."""
    return {"profile": [_PROFILES + pattern]}


def what(act: str) -> dict[str, Any]:
    """Give the elements that say what was done."""
    type_, subtype = _codes(act)
    return {"type": type_, "subtype": [subtype], "action": ACTIONS.get(act, "E")}


def when(record: Record) -> dict[str, Any]:
    """Give the elements that say when; frames are told by the minute."""
    made: dict[str, Any] = {}
    if record.act == "frames":
        begun = record.time // MINUTE_MS * MINUTE_MS
        made["period"] = {"start": instant(begun), "end": instant(begun + MINUTE_MS - 1)}
    made["recorded"] = instant(record.time)
    return made


def outcome(status: int, purpose: str) -> dict[str, Any]:
    """Give the elements that say how it ended, and the purpose that was given for it."""
    made: dict[str, Any] = {"outcome": _outcome(status)}
    if status >= 400:
        made["outcomeDesc"] = f"Answered with {status}"
    if purpose:
        made["purposeOfEvent"] = [_break_glass(purpose)]
    return made


def caller(record: Record) -> Caller:
    """Give who made an access."""
    return Caller(record.client, record.subject, record.user, record.address, record.purpose)


def who(action: str, caller: Caller, server: str) -> dict[str, Any]:
    """Give the elements that say who asked whom, and who saw it."""
    source = {
        "observer": {"display": "Hounsfield"},
        "type": [_coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4")],
    }
    return {"agent": _agents(action, caller, server), "source": source}


def pattern_of(accessed: Accessed) -> str:
    """Name the pattern that a success follows, empty for none; one with a patient has exactly one."""
    record = accessed.record
    if record.status >= 400 or record.act not in _INTERACTIONS:
        return ""
    about = "Patient" if len(accessed.patients) == 1 else ""
    if record.act.startswith("search"):
        return f"{about}Query"
    name = _PATTERNS.get(ACTIONS.get(record.act, "E"))
    return f"{about}{name}" if name and len(accessed.entities) == 1 else ""


def _codes(act: str) -> tuple[dict[str, str], dict[str, str]]:
    if act in _INTERACTIONS:
        return _coding(_REST, "rest"), _coding(_INTERACTION, act)
    if act == "bundle":
        return _coding(_REST, "rest"), _coding(_INTERACTION, "transaction")
    type_, subtype = _KINDS.get(act, ("110114" if act in _SIGNING_IN else "110100", (CODES, act)))
    return _coding(_DCM, type_), _coding(*subtype)


def _outcome(status: int) -> str:
    if status < 400:
        return "0"
    return "4" if status < 500 else "8"


def _agents(action: str, caller: Caller, server: str) -> list[dict[str, Any]]:
    """Give client, server and user; which of the first two is source and which destination, BALP says."""
    client, ours = _SOURCE, _DESTINATION
    if action == "R":
        client, ours = ours, client
    custodian = _coding(_DCM, ours)
    if action == "D":
        client = _APPLICATION
        custodian = _coding(
            "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian"
        )
    found: list[dict[str, Any]] = [
        {
            "type": {"coding": [_coding(_DCM, client)]},
            "who": {"identifier": {"value": caller.client or caller.subject or "unknown"}},
            "requestor": not caller.user,
            "network": {"address": caller.address, "type": "2"}
            if caller.address
            else {"address": "localhost", "type": "1"},
        },
        {
            "type": {"coding": [custodian]},
            "who": {"display": "Hounsfield"},
            "requestor": False,
            "network": {"address": server, "type": "5"},
        },
    ]
    if caller.user or (caller.client and caller.subject not in {"", caller.client}):
        found.append(_user(caller, action))
    return found


def _user(caller: Caller, action: str) -> dict[str, Any]:
    role = "IRCP" if action in {"R", "E"} else "AUT"
    who = {"reference": caller.user} if caller.user else {"identifier": {"value": caller.subject}}
    made: dict[str, Any] = {
        "type": {"coding": [_coding(_PARTICIPATION, role)]},
        "who": who,
        "altId": caller.subject or "unknown",
        "requestor": bool(caller.user),
    }
    if caller.purpose:
        made["purposeOfUse"] = [_break_glass(caller.purpose)]
    return made


def _break_glass(purpose: str) -> dict[str, Any]:
    return {"coding": [_coding(_PURPOSE, "BTG")], "text": purpose}


def asked(record: Record) -> list[dict[str, Any]]:
    """Give what was asked for: a query as BALP has it, in base64; or a word on what happened."""
    if record.act.startswith("search") or record.query:
        text = f"{record.path}?{urlencode(record.query)}" if record.query else record.path
        query = base64.b64encode(text.encode()).decode()
        return [
            {"type": _coding(_ENTITY, "2"), "role": _coding(_ROLE, "24"), "query": query or "Pw=="}
        ]
    told = record.note or (record.path if record.act not in ACTIONS else "")
    if not told:
        return []
    return [{"type": _coding(_ENTITY, "2"), "role": _coding(_ROLE, "20"), "name": told}]


def patient(id_: str) -> dict[str, Any]:
    """Give the entity of a patient."""
    return {
        "what": {"reference": f"Patient/{id_}"},
        "type": _coding(_ENTITY, "1"),
        "role": _coding(_ROLE, "1"),
    }


def entity(reference: str) -> dict[str, Any]:
    """Give the entity of what was accessed: a reference, or a study that is not here by its UID."""
    what = (
        {"identifier": {"system": "urn:dicom:uid", "value": reference}}
        if reference.startswith("urn:oid:")
        else {"reference": reference}
    )
    return {"what": what, "type": _coding(_ENTITY, "2"), "role": _coding(_ROLE, "4")}


def request(id_: str) -> dict[str, Any]:
    """Give the entity that joins what belongs to one request."""
    return {
        "what": {"identifier": {"value": id_}},
        "type": _coding(REQUEST_ID, "XrequestId"),
    }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}
