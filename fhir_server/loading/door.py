"""Groups as transactions through the door of a server; where one is refused, its entries one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fhir_server.files import Text, parsed
from fhir_server.loading.load import Loaded
from fhir_server.loading.resources import asks, reason, singles
from resources.model import Resource

Send = Callable[[Resource], Awaitable[tuple[int, Resource]]]
"""Posts a Bundle to the FHIR base and gives status and answer."""

_Entries = list[tuple[Text, dict[str, Any]]]
_GOOD: Final = 200


class Door:
    """The way through a door; resources without an id are created, so a group must not be sent twice."""

    size = 200

    def __init__(self, send: Send) -> None:
        self._send = send

    def begin(self, group: list[Text], mark: str) -> asyncio.Future[None]:
        """Begin nothing."""
        del group, mark
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def store(self, group: Sequence[Text], begun: None, totals: Loaded) -> None:
        """Send a group; each Bundle of requests as it is."""
        del begun
        entries: _Entries = []
        for text, found in zip(group, map(parsed, group), strict=True):
            if found.resource is None:
                totals.refuse(text, found.problem)
            elif asks(found.resource):
                await self._bundle(text, found.resource, totals)
            else:
                entries += [(text, _entry(one)) for one in singles(found.resource)]
        if entries and not await self._together(entries, totals):
            await self._apart(entries, totals)

    async def _together(self, entries: _Entries, totals: Loaded) -> bool:
        status, _ = await self._send(_of("transaction", entries))
        if status == _GOOD:
            totals.stored += len(entries)
        return status == _GOOD

    async def _apart(self, entries: _Entries, totals: Loaded) -> None:
        """Send a group again entry by entry, to keep what is sound and tell what is not."""
        status, answer = await self._send(_of("batch", entries))
        if status != _GOOD:
            for text, _ in entries:
                totals.refuse(text, reason(answer))
            return
        for (text, _), answered in zip(entries, answer["entry"], strict=True):
            _count(text, answered["response"], totals)

    async def _bundle(self, text: Text, bundle: Resource, totals: Loaded) -> None:
        status, answer = await self._send(bundle)
        if status != _GOOD:
            totals.refuse(text, reason(answer))
            return
        for answered in answer.get("entry", []):
            _count(text, answered["response"], totals)


def _count(text: Text, response: dict[str, Any], totals: Loaded) -> None:
    if response["status"].startswith("2"):
        totals.stored += 1
    else:
        totals.refuse(text, reason(response.get("outcome", {})))


def _entry(resource: Resource) -> dict[str, Any]:
    """Give the request that stores a resource."""
    type_, id_ = resource["resourceType"], resource.get("id")
    request = (
        {"method": "PUT", "url": f"{type_}/{id_}"} if id_ else {"method": "POST", "url": type_}
    )
    return {"resource": resource, "request": request}


def _of(kind: str, entries: _Entries) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [entry for _, entry in entries]}
