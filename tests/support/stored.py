"""What the tests of the store ports write: keys, values, changes, plans, and a clock that stands still."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect

from fhir_server.search.expression import ALWAYS, Branch, Expression, Plan
from fhir_server.search.values import IndexValues, Value, no_values
from fhir_server.store.port import Body, Change, Key, Match

TENANT = "north"
_ELECTED_S = 30.0
DATED = {"Observation": "Observation.effective", "ImagingStudy": "ImagingStudy.started"}
FIELDS = {
    "TokenValue": "tokens",
    "TextValue": "texts",
    "DateValue": "dates",
    "NumberValue": "numbers",
    "QuantityValue": "quantities",
    "ReferenceValue": "references",
    "UriValue": "uris",
    "PositionValue": "positions",
    "ElementValue": "elements",
}


class Clock:
    """Milliseconds since 1970 UTC that move only when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


def clinical(type: str) -> str | None:
    """Give the atom of a type's clinical date."""
    return DATED.get(type)


def values_of(*values: Value, clinical: int = 0) -> IndexValues:
    """Give index values by kind."""
    result = no_values()
    for value in values:
        getattr(result, FIELDS[type(value).__name__]).append(value)
    result.clinical = clinical
    return result


def key(id: str = "a", type: str = "Patient", tenant: str = TENANT) -> Key:
    """Give a key."""
    return Key(tenant, type, id)


def body(text: str = "x", type: str = "Patient") -> Body:
    """Give a body that holds a text."""
    return Body(b'{"resourceType":"%b","meta":{' % type.encode(), b'},"x":"%b"}' % text.encode())


def put(
    key: Key, *values: Value, text: str = "x", clinical: int = 0, method: Any = "PUT"
) -> Change:
    """Give a change that writes a resource."""
    return Change(key, method, body(text, key.type), values_of(*values, clinical=clinical))


def delete(key: Key) -> Change:
    """Give a change that deletes."""
    return Change(key, "DELETE", None, no_values())


def plan(where: Expression = ALWAYS, type: str = "Patient", **more: Any) -> Plan:
    """Give a plan of one type."""
    return Plan(more.pop("tenant", TENANT), (Branch(type, where),), **more)


def ids(matches: Any) -> list[str]:
    """Give the ids of matches in their order."""
    found: list[Match] = list(matches)
    return [match.version.key.id for match in found]


def named(url: str) -> str:
    """Give a replica set's URL with a database name that nothing else has."""
    server, _, options = url.partition("?")
    return f"{server.rstrip('/')}/test-{uuid.uuid4().hex}?{options}"


async def drop(url: str) -> None:
    """Remove the database that a URL names."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        end = time.monotonic() + _ELECTED_S
        while True:
            try:
                await client.drop_database(client.get_default_database())
            except AutoReconnect:  # another member is being elected
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)
            else:
                return
