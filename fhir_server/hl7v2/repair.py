"""What a person should look at, as Tasks: content that no map reads, messages that were not taken.

There is one Task for what a sender's messages of one type carry unmapped, one for each type or event that
no map reads, and one for each message that was refused for what it says.
"""

import re
from collections.abc import Iterable
from typing import Any

from fhir_server.hl7v2.transaction import by_identifier, stable_id
from fhir_server.store import port
from resources.model import Resource

SYSTEM = "urn:hounsfield:repair"
CODES = "urn:hounsfield:task-code"
_COUNT = re.compile(r"\[\d+\]")


def unmapped(origin: str, title: str, places: Iterable[str], received: int) -> Resource:
    """Give the Task that names the places of a sender's messages of one type that no map reads."""
    description = f"Content of {title} messages that is kept in the HL7 v2 inbox and is not in FHIR"
    task = _task("repair-unmapped", description, stable_id("unmapped", origin, title), received)
    task["input"] = [_told("Unmapped content", place) for place in places]
    return task


def unsupported(origin: str, title: str, reason: str, received: int) -> Resource:
    """Give the Task for messages of a kind that is not taken; they are kept in the inbox."""
    description = f"{title} messages are not taken and kept in the HL7 v2 inbox"
    task = _task("repair-unsupported", description, stable_id("type", origin, title), received)
    task["input"] = [_told("Reason", reason)]
    return task


def refused(key: str, title: str, reason: str, received: int) -> Resource:
    """Give the Task for one message that was not taken; `key` finds it in the inbox."""
    description = f"An HL7 v2 message ({title}) was not taken"
    task = _task("repair-message", description, stable_id("message", key), received)
    task["input"] = [_told("Inbox key", key), _told("Reason", reason)]
    return task


def general(place: str) -> str:
    """Give a place without its counts: OBX[7]-5[2].1 is OBX-5.1."""
    return _COUNT.sub("", place)


def entry(task: Resource, *, overwrite: bool = False) -> Resource:
    """Give the transaction entry that writes a Task, only if there is none or overwriting it."""
    identifier = task["identifier"][0]
    search = by_identifier(identifier)
    request = {"method": "POST", "url": "Task", "ifNoneExist": search}
    if overwrite:
        request = {"method": "PUT", "url": f"Task?{search}"}
    reference = f"urn:uuid:{stable_id('Task', identifier['value'])}"
    return {"fullUrl": reference, "resource": task, "request": request}


def transaction(*entries: Resource) -> Resource:
    """Give the transaction Bundle of some entries."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def _told(name: str, value: str) -> dict[str, Any]:
    return {"type": {"text": name}, "valueString": value}


def _task(code: str, description: str, key: str, received: int) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "identifier": [{"system": SYSTEM, "value": key}],
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": CODES, "code": code}]},
        "description": description,
        "authoredOn": port.instant(received),
    }
