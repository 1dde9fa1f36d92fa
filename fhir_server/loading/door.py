"""Groups as transactions through the door of a server; where one is refused, its entries one by one."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from fhir_server.files import Text, parsed
from fhir_server.loading.answers import counted, done, taken
from fhir_server.loading.load import Loaded
from fhir_server.loading.resources import Place, asks, reason, refers_by_query, singles
from resources.model import Resource
from resources.outcome import Invalid

Send = Callable[[Resource], Awaitable[tuple[int, Resource]]]
"""Posts a Bundle to the FHIR base and gives status and answer, {} for one that is no resource."""


class _Entry(Struct, frozen=True):
    """The request that stores one resource; one that refers by a query is understood in transactions only."""

    text: Text
    request: dict[str, Any]
    queries: bool


class Door:
    """The way through a door; resources without an id are created, so a group must not be sent twice."""

    size = 200

    def __init__(self, send: Send) -> None:
        self._send = send

    def begin(self, group: list[Text], mark: str) -> asyncio.Future[str]:
        """Begin nothing; gives the mark."""
        del group
        done = asyncio.get_running_loop().create_future()
        done.set_result(mark)
        return done

    async def store(self, group: Sequence[Text], begun: str, totals: Loaded) -> None:
        """Send a group, each Bundle of requests as it is; `begun` is the file's mark. Raises BrokenOff."""
        entries: list[_Entry] = []
        for text, found in zip(group, map(parsed, group), strict=True):
            if found.resource is None:
                totals.refuse(text, found.problem)
            elif asks(found.resource):
                await self._bundle(text, found.resource, totals)
            else:
                entries += _entries(text, found.resource, begun, totals)
        if entries:
            await self._together(entries, totals)

    async def _together(self, entries: list[_Entry], totals: Loaded) -> None:
        """Send entries as one transaction; where that is refused, in their order and apart."""
        status, answer = await self._send(_of("transaction", entries))
        if done(status, answer):
            totals.stored += len(entries)
        elif len(entries) == 1 and entries[0].queries:
            totals.refuse(entries[0].text, _alone(entries[0], reason(answer)))
        else:
            for run in _runs(entries):
                send = self._together if run[0].queries else self._batch
                await send(run, totals)

    async def _batch(self, entries: list[_Entry], totals: Loaded) -> None:
        """Send entries as a batch, to keep what is sound and tell what is not; halves of one too large."""
        status, answer = await self._send(_of("batch", entries))
        if taken(status, answer):
            counted([entry.text for entry in entries], answer, totals)
        elif len(entries) == 1:
            totals.refuse(entries[0].text, reason(answer))
        else:
            half = len(entries) // 2
            await self._batch(entries[:half], totals)
            await self._batch(entries[half:], totals)

    async def _bundle(self, text: Text, bundle: Resource, totals: Loaded) -> None:
        status, answer = await self._send(bundle)
        if done(status, answer):
            counted([text] * len(answer.get("entry", [])), answer, totals)
        else:
            totals.refuse(text, reason(answer))


def _alone(entry: _Entry, why: str) -> str:
    """Tell why a resource is refused by its own elements, not by those of the Bundle that it was sent in."""
    type_ = entry.request["resource"]["resourceType"]
    return why.replace("Bundle.entry[0].resource", type_).removesuffix(" (Bundle.entry[0])")


def _runs(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    """Part entries, in their order, into each that refers by a query, and runs of others."""
    for queries, run in itertools.groupby(entries, lambda entry: entry.queries):
        if queries:
            yield from ([entry] for entry in run)
        else:
            yield list(run)


def _entries(text: Text, resource: Resource, mark: str, totals: Loaded) -> list[_Entry]:
    """Give the requests that store a resource, or each of a collection; none where that is refused."""
    try:
        return [_entry(text, one) for one in singles(resource, Place(mark, text.place))]
    except Invalid as fault:
        totals.refuse(text, str(fault))
        return []


def _entry(text: Text, resource: Resource) -> _Entry:
    """Give the request that stores a resource."""
    type_, id_ = resource["resourceType"], resource.get("id")
    request = (
        {"method": "PUT", "url": f"{type_}/{id_}"} if id_ else {"method": "POST", "url": type_}
    )
    sent = {"resource": resource, "request": request}
    return _Entry(text, sent, refers_by_query(text, resource))


def _of(kind: str, entries: list[_Entry]) -> Resource:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [entry.request for entry in entries],
    }
