"""What an answer means to a load: done, refused for its content, or that the load cannot go on."""

from typing import Any, Final

from fhir_server.files import Text
from fhir_server.loading.load import BrokenOff, Loaded
from fhir_server.loading.resources import reason
from resources.model import Resource

_REFUSALS: Final = frozenset({400, 404, 405, 409, 410, 412, 413, 422})
"""What is said of what was sent. 401, 403, 429 and 5xx are said of who sends, or of the server."""
_TOO_MUCH: Final = frozenset({400, 413, 422})
_DONE: Final = range(200, 300)
_NOT_MODIFIED: Final = 304


def refusal(status: int) -> bool:
    """Tell whether a status says that what was sent is not to be stored, now and later."""
    return status in _REFUSALS


def done(status: int, answer: Resource) -> bool:
    """Tell whether a Bundle was done, or refused for its content; raises BrokenOff for anything else."""
    if status in _DONE:
        if answer.get("resourceType") != "Bundle":
            raise BrokenOff("what answers is no FHIR server: a Bundle is wanted")
        return True
    if refusal(status):
        return False
    raise BrokenOff(_said(status, answer))


def taken(status: int, answer: Resource) -> bool:
    """Tell whether a batch was done, or is refused as a whole; raises BrokenOff where none is taken."""
    if done(status, answer):
        return True
    if status in _TOO_MUCH:
        return False
    raise BrokenOff(_said(status, answer))


def counted(texts: list[Text], answer: Resource, totals: Loaded) -> None:
    """Count what became of each request of a Bundle; raises BrokenOff once all that is known is counted."""
    answered = answer.get("entry", [])
    if len(answered) != len(texts):
        raise BrokenOff("the server has not answered each entry of a Bundle")
    broken = ""
    for text, one in zip(texts, answered, strict=True):
        response = one.get("response", {})
        status, outcome = _status(response), response.get("outcome", {})
        if status in _DONE or status == _NOT_MODIFIED:
            totals.stored += 1
        elif refusal(status):
            totals.refuse(text, reason(outcome))
        else:
            broken = broken or _said(status, outcome)
    if broken:
        raise BrokenOff(broken)


def _status(response: dict[str, Any]) -> int:
    """Give the number that a status begins with (`201 Created`), 0 where it is none."""
    text = str(response.get("status", ""))[:3]
    return int(text) if text.isascii() and text.isdecimal() else 0


def _said(status: int, outcome: Resource) -> str:
    told = f": {reason(outcome)}" if outcome.get("issue") else ""
    return f"the server answers {status}{told}"
