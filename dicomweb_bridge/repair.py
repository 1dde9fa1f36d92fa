"""Tasks for a person where a study's patient or order is not certain (FHIR R4 task.html, IHE PIR)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from resources import outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomweb_bridge.identity import Identity
    from resources.model import Resource

SYSTEM = "urn:hounsfield:repair"
CODES = "urn:hounsfield:task-code"
KINDS = {
    "subject": ("repair-subject", "Find the patient of a study"),
    "order": ("repair-order", "Find the order of a study"),
}
_NAMESPACE = uuid.UUID("0d5bd0f5-3a2c-5a7a-8c54-0fbd6a3c1c67")
_OPEN = frozenset({"draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"})


def key(study: str, kind: str) -> dict[str, str]:
    """Give the Identifier of a study's Task of a kind."""
    return {"system": SYSTEM, "value": f"{KINDS[kind][0]}:{study}"}


def entries(
    tenant: str, study: tuple[str, str], found: Identity, known: Sequence[Resource], now: str
) -> list[dict[str, Any]]:
    """Give transaction entries that open, renew or complete the Tasks of a study.

    `study` is its UID and the reference to its ImagingStudy, `known` its Tasks as they are stored.
    """
    uid, focus = study
    by_key = {one["value"]: task for task in known for one in task.get("identifier", ())}
    made = []
    for kind in KINDS:
        stored = by_key.get(key(uid, kind)["value"])
        reason = found.repairs.get(kind)
        if reason is None and stored is not None and stored.get("status") in _OPEN:
            made.append({**stored, "status": "completed", "lastModified": now})
        elif reason is not None and (stored is None or _reason(stored) != reason):
            authored = (stored or {}).get("authoredOn", now)
            made.append(_task(kind, uid, focus, reason, (authored, now)))
    return [_entry(tenant, task) for task in made]


def _task(kind: str, uid: str, focus: str, reason: str, times: tuple[str, str]) -> Resource:
    code, title = KINDS[kind]
    issue = outcome.Issue("warning", "business-rule", reason, f"ImagingStudy.{_ELEMENT[kind]}")
    return {
        "resourceType": "Task",
        "contained": [{**outcome.operation_outcome((issue,)), "id": "outcome"}],
        "identifier": [key(uid, kind)],
        "status": "requested",
        "statusReason": {"text": reason},
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": code, "display": title}]},
        "description": title,
        "focus": {"reference": focus},
        "authoredOn": times[0],
        "lastModified": times[1],
        "output": [{"type": {"text": "Finding"}, "valueReference": {"reference": "#outcome"}}],
    }


_ELEMENT = {"subject": "subject", "order": "basedOn"}


def _reason(task: Resource) -> str:
    """Give why an open Task is there, "" for one that is closed and would have to be opened again."""
    return str(task.get("statusReason", {}).get("text", "")) if task.get("status") in _OPEN else ""


def _entry(tenant: str, task: Resource) -> dict[str, Any]:
    value = task["identifier"][0]["value"]
    return {
        "fullUrl": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{tenant}/{value}')}",
        "resource": {name: part for name, part in task.items() if name not in {"id", "meta"}},
        "request": {"method": "PUT", "url": f"Task?identifier={SYSTEM}%7C{value}"},
    }
