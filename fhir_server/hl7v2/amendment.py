"""Patches in a message's Bundle, resolved against what is stored, e.g. the order that is cancelled."""

from collections.abc import Awaitable, Callable
from typing import Any

from fhir_server.hl7v2.refusal import UnknownKey
from resources.model import Resource

Find = Callable[[str], Awaitable[Resource | None]]


async def resolved(bundle: Resource, find: Find) -> Resource:
    """Give the Bundle with each PATCH of plain elements as a version-aware update of what `find` gives.

    Raises UnknownKey where a patch finds nothing.
    """
    entries = [
        await _resolved(entry, find) if entry["request"]["method"] == "PATCH" else entry
        for entry in bundle["entry"]
    ]
    return bundle | {"entry": entries}


async def _resolved(entry: Resource, find: Find) -> Resource:
    url = entry["request"]["url"]
    stored = await find(url)
    if stored is None:
        raise UnknownKey("What the message changes is not known here", location="ORC-2")
    changed = dict(stored)
    for operation in entry["resource"]["parameter"]:
        parts = {part["name"]: _value(part) for part in operation["part"]}
        changed[parts["path"].rpartition(".")[2]] = parts["value"]
    type_ = url.partition("?")[0]
    request = {
        "method": "PUT",
        "url": f"{type_}/{stored['id']}",
        "ifMatch": f'W/"{stored["meta"]["versionId"]}"',
    }
    return {"fullUrl": entry["fullUrl"], "resource": changed, "request": request}


def _value(part: Resource) -> Any:
    return next(value for name, value in part.items() if name.startswith("value"))
