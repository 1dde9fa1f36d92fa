"""A message as the inbox keeps it: the bytes as received, what became of them, since when."""

from typing import Literal

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents

NAMESPACE = "hl7v2"
UNMAPPED = "hl7v2-unmapped"

State = Literal["received", "accepted", "refused"]


class Record(Struct):
    """One message. `received` is when it first came, in milliseconds since 1970 UTC.

    `state` is received until it is committed or refused; `code` is that of table 0357, `reason` its
    sentence and `detail` what only we are told; `gaps` are places that no map reads.
    """

    raw: bytes
    received: int
    peer: str
    tenant: str
    origin: str
    title: str
    state: State = "received"
    attempts: int = 0
    code: str = ""
    reason: str = ""
    detail: str = ""
    gaps: tuple[str, ...] = ()


class Records:
    """The records of the inbox in the store's documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def get(self, tenant: str, key: str) -> Record | None:
        """Give a record, or None."""
        found = await self._documents.get(tenant, NAMESPACE, key)
        return None if found is None else msgspec.msgpack.decode(found.value, type=Record)

    async def put(self, key: str, record: Record) -> None:
        """Keep a record durably."""
        value = msgspec.msgpack.encode(record)
        await self._documents.put(record.tenant, NAMESPACE, key, value)

    async def twin(self, tenant: str, key: str) -> bool:
        """Tell whether the sender has used the message's control id for another message."""
        origin = key.partition("/")[0] + "/"
        found = await self._documents.list(tenant, NAMESPACE, after=origin, limit=2)
        return any(each.key.startswith(origin) and each.key != key for each in found)

    async def keys(self, tenant: str, after: str = "", limit: int = 1000) -> tuple[str, ...]:
        """Give the keys of records in their order, past `after`."""
        found = await self._documents.list(tenant, NAMESPACE, after=after, limit=limit)
        return tuple(each.key for each in found)

    async def known_gaps(self, tenant: str, kind: str) -> tuple[str, ...]:
        """Give the places that messages of a kind were seen to carry unmapped."""
        found = await self._documents.get(tenant, UNMAPPED, kind)
        return () if found is None else msgspec.msgpack.decode(found.value, type=tuple[str, ...])

    async def keep_gaps(self, tenant: str, kind: str, places: tuple[str, ...]) -> None:
        """Keep the places that messages of a kind were seen to carry unmapped."""
        await self._documents.put(tenant, UNMAPPED, kind, msgspec.msgpack.encode(places))
