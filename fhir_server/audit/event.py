"""A record as an AuditEvent by the Basic Audit Log Patterns (IHE ITI BALP 1.1.3, FHIR R4 auditevent.html)."""

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

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
    """Give the accesses that a record tells of: those of its entries where it is a transaction's."""
    if not record.written:
        return (record,)
    return tuple(
        replace(record, act=_METHODS.get(method, "operation"), path="", what=(what,), written=())
        for method, what in record.written
    )


def event(
    record: Record, id_: str, entities: tuple[str, ...], patients: tuple[str, ...], server: str
) -> Resource:
    """Give the AuditEvent of one access to `entities` (references), about `patients` (logical ids).

    `server` is our own address. A success that fits a pattern names it as its profile.
    """
    made: Resource = {"resourceType": "AuditEvent", "id": id_}
    action = ACTIONS.get(record.act, "E")
    pattern = _pattern(record, action, entities, patients)
    if pattern:
        made["meta"] = {"profile": [_PROFILES + pattern]}
    type_, subtype = _codes(record)
    made |= {"type": type_, "subtype": [subtype], "action": action}
    if record.act == "frames":
        begun = record.time // MINUTE_MS * MINUTE_MS
        made["period"] = {"start": instant(begun), "end": instant(begun + MINUTE_MS - 1)}
    made |= {
        "recorded": instant(record.time),
        "outcome": _outcome(record.status),
    }
    if record.status >= 400:
        made["outcomeDesc"] = f"Answered with {record.status}"
    if record.purpose:
        made["purposeOfEvent"] = [_break_glass(record)]
    made["agent"] = _agents(record, action, server)
    made["source"] = {
        "observer": {"display": "Hounsfield"},
        "type": [
            _coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4"),
        ],
    }
    found = [*_asked(record), *(_patient(id_) for id_ in patients), *map(_data, entities)]
    if record.request:
        found.append(_request(record.request))
    if found:
        made["entity"] = found
    return made


def _codes(record: Record) -> tuple[dict[str, str], dict[str, str]]:
    act = record.act
    if act in _INTERACTIONS:
        return _coding(_REST, "rest"), _coding(_INTERACTION, act)
    if act == "bundle":
        return _coding(_REST, "rest"), _coding(_INTERACTION, "transaction")
    type_, subtype = _KINDS.get(act, ("110114" if act in _SIGNING_IN else "110100", (CODES, act)))
    return _coding(_DCM, type_), _coding(*subtype)


def _pattern(
    record: Record, action: str, entities: tuple[str, ...], patients: tuple[str, ...]
) -> str:
    """Name the pattern that a success follows, empty for none; one with a patient has exactly one."""
    if record.status >= 400 or record.act not in _INTERACTIONS:
        return ""
    about = "Patient" if len(patients) == 1 else ""
    if record.act.startswith("search"):
        return f"{about}Query"
    name = _PATTERNS.get(action)
    return f"{about}{name}" if name and len(entities) == 1 else ""


def _outcome(status: int) -> str:
    if status < 400:
        return "0"
    return "4" if status < 500 else "8"


def _agents(record: Record, action: str, server: str) -> list[dict[str, Any]]:
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
            "who": {"identifier": {"value": record.client or record.subject or "unknown"}},
            "requestor": not record.user,
            "network": {"address": record.address, "type": "2"}
            if record.address
            else {"address": "localhost", "type": "1"},
        },
        {
            "type": {"coding": [custodian]},
            "who": {"display": "Hounsfield"},
            "requestor": False,
            "network": {"address": server, "type": "5"},
        },
    ]
    if record.user or (record.client and record.subject not in {"", record.client}):
        found.append(_user(record, action))
    return found


def _user(record: Record, action: str) -> dict[str, Any]:
    role = "IRCP" if action in {"R", "E"} else "AUT"
    who = {"reference": record.user} if record.user else {"identifier": {"value": record.subject}}
    made: dict[str, Any] = {
        "type": {"coding": [_coding(_PARTICIPATION, role)]},
        "who": who,
        "altId": record.subject or "unknown",
        "requestor": bool(record.user),
    }
    if record.purpose:
        made["purposeOfUse"] = [_break_glass(record)]
    return made


def _break_glass(record: Record) -> dict[str, Any]:
    return {"coding": [_coding(_PURPOSE, "BTG")], "text": record.purpose}


def _asked(record: Record) -> list[dict[str, Any]]:
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


def _patient(id_: str) -> dict[str, Any]:
    return {
        "what": {"reference": f"Patient/{id_}"},
        "type": _coding(_ENTITY, "1"),
        "role": _coding(_ROLE, "1"),
    }


def _data(reference: str) -> dict[str, Any]:
    what = (
        {"identifier": {"system": "urn:dicom:uid", "value": reference}}
        if reference.startswith("urn:oid:")
        else {"reference": reference}
    )
    return {"what": what, "type": _coding(_ENTITY, "2"), "role": _coding(_ROLE, "4")}


def _request(id_: str) -> dict[str, Any]:
    return {
        "what": {"identifier": {"value": id_}},
        "type": _coding(REQUEST_ID, "XrequestId"),
    }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}
