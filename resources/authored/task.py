"""Task for work that this server does: a job with its input, state and output (FHIR R4 task.html)."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from resources.model import Resource

CODES = "urn:hounsfield:task-code"
_STATES = {
    "queued": "requested",
    "running": "in-progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Work(Struct, frozen=True):
    """What a Task tells of a job: all references are literal, instants FHIR instants.

    `owner` did the work (the model's Device), `requester` asked for it; `progress` says how far it is.
    """

    id: str
    code: str
    display: str
    state: str
    authored: str
    modified: str
    focus: str | None = None
    patient: str | None = None
    based_on: Sequence[str] = ()
    requester: str | None = None
    owner: str | None = None
    started: str | None = None
    ended: str | None = None
    inputs: Sequence[tuple[str, dict[str, Any]]] = ()
    outputs: Sequence[tuple[str, dict[str, Any]]] = ()
    reason: str = ""
    progress: str = ""


def task(work: Work) -> Resource:
    """Give the Task of a job; inputs and outputs are (what it is, value[x] element) pairs."""
    made: Resource = {
        "resourceType": "Task",
        "id": work.id,
        "status": _STATES[work.state],
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": work.code, "display": work.display}]},
        "authoredOn": work.authored,
        "lastModified": work.modified,
    }
    references = {
        "focus": work.focus,
        "for": work.patient,
        "requester": work.requester,
        "owner": work.owner,
    }
    made |= {name: {"reference": text} for name, text in references.items() if text}
    period = {"start": work.started, "end": work.ended}
    if work.started:
        made["executionPeriod"] = {name: at for name, at in period.items() if at}
    if work.based_on:
        made["basedOn"] = [{"reference": reference} for reference in work.based_on]
    if work.progress:
        made["businessStatus"] = {"text": work.progress}
    if work.reason:
        made["statusReason"] = {"text": work.reason}
    for name, pairs in (("input", work.inputs), ("output", work.outputs)):
        if pairs:
            made[name] = [{"type": {"text": what}, **value} for what, value in pairs]
    return made
