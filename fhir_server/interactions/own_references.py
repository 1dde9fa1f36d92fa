"""References to resources here that are written with our own base, as relative ones.

A relative reference means the same (FHIR R4 references.html#literal), is found by searches and compartments,
and stays right when the server is reached by another name. In a Bundle references follow its full URLs, so
what is stored as one is left as it is.
"""

from typing import Any

from fhir_server.store.port import Body
from resources import model, reference
from resources.model import Resource


def held(written: Body, base: str) -> bool:
    """Tell whether a serialised resource may hold such references; cheap, as nearly none does."""
    return base.encode() in written.tail and not written.head.startswith(
        b'{"resourceType":"Bundle"'
    )


def relative(resource: Resource, base: str) -> Resource:
    """Give a copy of a resource whose references to `base` are relative."""
    made: Resource = model.copy(resource)
    pending: list[Any] = [made]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            if isinstance(text := value.get("reference"), str):
                value["reference"] = _relative(text, f"{base}/")
    return made


def _relative(text: str, ours: str) -> str:
    if not text.startswith(ours):
        return text
    rest = text.removeprefix(ours)
    return rest if reference.parse(rest.partition("#")[0]).form == "local" else text
