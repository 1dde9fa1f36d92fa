"""FHIR and DICOMweb as a client sees them: a token, a base URL, JSON back, every URL noted."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx

from fhir_server.demo.step import Notes, NotHeld, require
from resources.model import Resource, parse, parse_json, serialise

Token = Callable[[], Awaitable[str]]
"""Gives an access token that is good now."""

_FHIR = "application/fhir+json"
_DICOM_JSON = "application/dicom+json"
_SHOWN = 300


class Fhir:
    """Requests to one server under one token; a status that was not wanted fails the step."""

    def __init__(self, http: httpx.AsyncClient, base: str, token: Token) -> None:
        self.http = http
        self.base = base.rstrip("/")
        self._token = token

    @property
    def dicom(self) -> str:
        """Give the DICOMweb base URL, beside the FHIR one."""
        return f"{self.base.removesuffix('/fhir')}/dicom-web"

    async def send(
        self,
        method: str,
        url: str,
        *,
        accept: str = _FHIR,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request under the token; `url` is absolute, or relative to the FHIR base."""
        place = url if "://" in url else f"{self.base}/{url}"
        sent = {"Authorization": f"Bearer {await self._token()}", "Accept": accept}
        return await self.http.request(
            method, place, headers={**sent, **(headers or {})}, content=body, params=query
        )

    async def read(self, reference: str, notes: Notes) -> Resource:
        """Read a resource by Type/id."""
        notes.url(f"{self.base}/{reference}")
        return resource(await self.send("GET", reference), 200)

    async def search(self, type_: str, notes: Notes, **query: str) -> list[Resource]:
        """Give the matches of a search, at most a page; `_` in a parameter's name stands for `-`."""
        named = {_parameter(name): value for name, value in query.items()}
        bundle = resource(await self.send("GET", type_, query=named), 200)
        entries = [e for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]
        notes.url(*(entry["fullUrl"] for entry in entries))
        return [entry["resource"] for entry in entries]

    async def only(self, type_: str, notes: Notes, **query: str) -> Resource:
        """Give the one match of a search; any other number fails the step."""
        found = await self.search(type_, notes, **query)
        require(len(found) == 1, f"one {type_} was expected and {len(found)} were found")
        return found[0]

    async def count(self, type_: str) -> int:
        """Give how many resources of a type there are for this token."""
        found = resource(await self.send("GET", type_, query={"_summary": "count"}), 200)
        return int(found["total"])

    async def operate(self, url: str, parameters: Mapping[str, str]) -> httpx.Response:
        """Call an operation with string parameters, to be answered at once or by a job."""
        given = [{"name": name, "valueString": value} for name, value in parameters.items()]
        body = serialise({"resourceType": "Parameters", "parameter": given})
        return await self.send("POST", url, headers={"Content-Type": _FHIR}, body=body)

    async def dicom_json(self, url: str) -> list[dict[str, Any]]:
        """Give the datasets of a DICOMweb search or of metadata, none for 204."""
        response = await self.send("GET", url, accept=_DICOM_JSON)
        if response.status_code == 204:
            return []
        expect(response, 200)
        found: list[dict[str, Any]] = parse_json(response.content)
        return found


def expect(response: httpx.Response, *statuses: int) -> None:
    """Fail the step unless the status is one of these; tells what the server said of it."""
    if response.status_code not in statuses:
        wanted = " or ".join(map(str, statuses))
        place = f"{response.request.method} {response.request.url.path}"
        said = response.text[:_SHOWN]
        raise NotHeld(f"{place}: {wanted} expected, {response.status_code}: {said}")


def resource(response: httpx.Response, *statuses: int) -> Resource:
    """Give the resource of a response with one of these statuses."""
    expect(response, *statuses)
    return parse(response.content)


def reference(found: Resource) -> str:
    """Give Type/id of a resource."""
    return f"{found['resourceType']}/{found['id']}"


def value(dataset: Mapping[str, Any], tag: str) -> Any:
    """Give the first value of an element in DICOM JSON, None without one (PS3.18 F.2)."""
    return next(iter(dataset.get(tag, {}).get("Value", ())), None)


def _parameter(name: str) -> str:
    """Give the search parameter of a keyword: based_on is based-on, _id and _count stay."""
    return name[0] + name[1:].replace("_", "-")
