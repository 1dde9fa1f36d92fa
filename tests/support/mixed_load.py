"""Clients of every kind of write against a real server, and a model of what they were told.

Each write carries a mark of its own. What was acknowledged must be in the history, under its version and with
its mark; what was refused must not; what was not answered is there whole, once, or not at all.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

SYSTEM = "urn:mixed"
CLIENTS = 12
_PARTS = 3
_COUNT = 500
_IDENTIFIERS = 12
_OWN = 5

Place = tuple[str, str, int]
"""Type, id, version."""


class Model:
    """What the clients of one round were told, and what they were not told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.acknowledged: dict[Place, str] = {}
        self.refused: set[str] = set()
        self.open: set[str] = set()
        self.same: dict[str, set[str]] = defaultdict(set)
        self.reads = 0

    def told(self, response: httpx.Response, mark: str) -> Place:
        """Take note of an acknowledged write, by the place that its answer names."""
        type_, id_, _, version = response.headers["location"].split("/fhir/")[1].split("/")
        place = (type_, id_, int(version))
        self._keep(place, mark)
        return place

    def deleted(self, type_: str, id_: str, response: httpx.Response) -> None:
        """Take note of an acknowledged deletion."""
        self._keep((type_, id_, int(response.headers["etag"].strip('W/"'))), "deleted")

    def transacted(self, bundle: dict[str, Any], mark: str) -> None:
        """Take note of every entry of an acknowledged transaction."""
        for entry in bundle["entry"]:
            type_, id_, _, version = entry["response"]["location"].split("/")[-4:]
            self._keep((type_, id_, int(version)), mark)

    def _keep(self, place: Place, mark: str) -> None:
        assert place not in self.acknowledged, f"two writes were told the same version: {place}"
        self.acknowledged[place] = mark

    def check(self, observed: dict[Place, str]) -> None:
        """Compare with what is there of the round."""
        for place, mark in self.acknowledged.items():
            assert observed.get(place) == mark, f"lost or another: {place}, {mark}"
        more = Counter(mark for place, mark in observed.items() if place not in self.acknowledged)
        deletions = more.pop("deleted", 0)
        assert deletions <= sum(mark.startswith("delete") for mark in self.open)
        assert set(more) <= self.open, f"nobody's: {set(more) - self.open}"
        for mark, times in more.items():
            whole = _PARTS + 1 if mark.startswith("transaction") else 1
            assert times == whole, f"{mark} is there {times} times, not {whole}"
        assert not self.refused & set(observed.values())
        for ids in self.same.values():
            assert len(ids) == 1, "one identifier, several resources"
        made = Counter(mark.split("/")[1] for mark in observed.values() if mark.startswith("once/"))
        assert set(made.values()) <= {1}
        assert made.keys() >= self.same.keys()


class Client:
    """One client, one write after another, each on a kind by chance."""

    def __init__(self, http: httpx.AsyncClient, model: Model, number: int, seed: int) -> None:
        self._http = http
        self._model = model
        self._name = f"r{model.number}-c{number}"
        self._chance = random.Random(seed)
        self._turn = 0
        self._kinds: list[Callable[[str], Awaitable[None]]] = [
            self._create,
            self._update,
            self._update,
            self._delete,
            self._once,
            self._raced,
            self._transaction,
            self._read,
        ]

    async def run(self) -> None:
        """Go on until the server is gone; what is on its way then stays open."""
        while True:
            self._turn += 1
            kind = self._chance.choice(self._kinds)
            mark = f"{kind.__name__[1:]}/{self._name}/{self._turn}"
            try:
                await kind(mark)
            except httpx.TransportError:
                return

    async def _send(self, method: str, url: str, mark: str, body: Any, **headers: str) -> Any:
        self._model.open.add(mark)
        response = await self._http.request(method, url, json=body, headers=headers)
        self._model.open.discard(mark)
        return response

    async def _create(self, mark: str) -> None:
        response = await self._send("POST", "/Basic", mark, _basic(mark))
        assert response.status_code == 201, response.text
        self._model.told(response, mark)

    async def _update(self, mark: str) -> None:
        id_ = f"{self._name}-{self._chance.randrange(_OWN)}"
        response = await self._send("PUT", f"/Basic/{id_}", mark, _basic(mark, id_))
        assert response.status_code in {200, 201}, response.text
        self._model.told(response, mark)

    async def _delete(self, mark: str) -> None:
        id_ = f"{self._name}-{self._chance.randrange(_OWN)}"
        response = await self._send("DELETE", f"/Basic/{id_}", mark, None)
        assert response.status_code in {200, 204, 404}, response.text
        place = ("Basic", id_, int(response.headers.get("etag", 'W/"0"').strip('W/"')))
        if place[2] and place not in self._model.acknowledged:
            self._model.deleted("Basic", id_, response)

    async def _once(self, mark: str) -> None:
        value = f"r{self._model.number}-{self._chance.randrange(_IDENTIFIERS)}"
        mark = f"once/{value}/{mark}"
        body = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}]}
        body |= {"extension": [{"url": f"{SYSTEM}:mark", "valueString": mark}]}
        only = {"If-None-Exist": f"identifier={SYSTEM}|{value}"}
        response = await self._send("POST", "/Patient", mark, body, **only)
        assert response.status_code in {200, 201}, response.text
        self._model.same[value].add(response.json()["id"])
        if response.status_code == 201:
            self._model.told(response, mark)
        else:
            self._model.refused.add(mark)

    async def _raced(self, mark: str) -> None:
        """Update what all clients update, if it is still as it was read."""
        id_ = f"r{self._model.number}-shared"
        seen = await self._http.get(f"/Basic/{id_}")
        condition = {"If-Match": seen.headers["etag"]} if seen.is_success else {}
        response = await self._send("PUT", f"/Basic/{id_}", mark, _basic(mark, id_), **condition)
        assert response.status_code in {200, 201, 412}, response.text
        if response.status_code == 412:
            self._model.refused.add(mark)
        else:
            self._model.told(response, mark)

    async def _transaction(self, mark: str) -> None:
        entries = [
            {"resource": _basic(mark, id_), "request": {"method": "PUT", "url": f"Basic/{id_}"}}
            for id_ in (f"{self._name}-t{n}" for n in range(_PARTS))
        ]
        entries.append({"resource": _basic(mark), "request": {"method": "POST", "url": "Basic"}})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        response = await self._send("POST", "/", mark, bundle)
        assert response.status_code == 200, response.text
        self._model.transacted(response.json(), mark)

    async def _read(self, mark: str) -> None:
        del mark
        id_ = f"{self._name}-{self._chance.randrange(_OWN)}"
        for url in (f"/Basic/{id_}", f"/Basic?_id={id_}", f"/Basic/{id_}/_history"):
            response = await self._http.get(url)
            assert response.status_code in {200, 404, 410}, response.text
            self._model.reads += 1


def _basic(mark: str, id_: str | None = None) -> dict[str, Any]:
    made = {"resourceType": "Basic", "code": {"coding": [{"system": SYSTEM, "code": mark}]}}
    return made | ({"id": id_} if id_ else {})


async def load(base: str, model: Model, enough: int, kill: Callable[[], None]) -> None:
    """Let all clients write until so many writes are acknowledged, then kill the server amid the others."""
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=60) as http:
        running = [
            asyncio.create_task(Client(http, model, n, 1000 * model.number + n).run())
            for n in range(CLIENTS)
        ]
        while len(model.acknowledged) < enough and not any(t.done() for t in running):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.to_thread(kill)
        await asyncio.gather(*running)


def observed(base: str, since: str, prefix: str = "") -> dict[Place, str]:
    """Give every version since an instant whose id or mark holds a prefix, with its mark."""
    found: dict[Place, str] = {}
    with httpx.Client(timeout=60) as http:
        for type_ in ("Basic", "Patient"):
            url: str | None = f"{base}/{type_}/_history?_count={_COUNT}&_since={since}"
            while url:
                page = http.get(url).raise_for_status().json()
                for place, mark in map(_version, page.get("entry", ())):
                    if prefix in f"{place[1]} {mark}":
                        assert place not in found
                        found[place] = mark
                links = (one["url"] for one in page["link"] if one["relation"] == "next")
                url = next(links, None)
    return found


def _version(entry: dict[str, Any]) -> tuple[Place, str]:
    version = int(entry["response"]["etag"].strip('W/"'))
    resource = entry.get("resource")
    if resource is None:
        type_, id_ = entry["request"]["url"].split("/")[-2:]
        return (type_, id_, version), "deleted"
    mark = (
        resource["code"]["coding"][0]["code"]
        if resource["resourceType"] == "Basic"
        else resource["extension"][0]["valueString"]
    )
    return (resource["resourceType"], resource["id"], version), mark
