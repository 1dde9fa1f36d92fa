"""The routes of /dicom-web: STOW-RS, QIDO-RS, WADO-RS, under the access of the ImagingStudy (PS3.18 10).

Whoever may read a study's ImagingStudy may retrieve its pixels, and nobody else: a search is limited to
those studies before its page is cut, and another study is not found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct, structs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dicomweb_bridge import attributes, negotiation, qido, rendered, stow, wado
from dicomweb_bridge.archive.port import Archive, Instance, Where
from dicomweb_bridge.ingest import Ingest
from dicomweb_bridge.revalidation import bounded, revalidated
from fhir_server import identifiers, tenancy
from fhir_server.access import Access, Authorizer, Letter
from resources import model, outcome

if TYPE_CHECKING:
    from dicomweb_bridge.attributes import Level

Visible = Callable[[str, Access, str | None, Letter], Awaitable[frozenset[str] | None]]
"""Which study UIDs of a tenant an access may see (None: all), asked of one study or of any."""

_TYPE = "ImagingStudy"
_ACTS = {"r": "frames", "s": "search-studies", "c": "store"}


class Trail(Protocol):
    """What keeps the accesses, before their answers leave."""

    def event(
        self,
        tenant: str,
        door: Literal["dicom-web"],
        act: str,
        status: int,
        access: Access | None = None,
        **more: str | Sequence[str] | Sequence[tuple[str, str]],
    ) -> None:
        """Tell of an access; raises Unavailable where it cannot be kept."""


class Bridge(Struct, frozen=True):
    """What the routes work with; `address` gives a tenant's public DICOMweb base URL.

    `tenants` tells whether a tenant is registered; `largest` is the most bytes of one STOW-RS request.
    """

    archive: Archive
    ingest: Ingest
    authorizer: Authorizer
    visible: Visible
    address: Callable[[str], str]
    tenants: Callable[[str], Awaitable[bool]]
    largest: int = 16 * 1024**3
    trail: Trail | None = None


Answer = Callable[["_Call"], Awaitable[Response]]


class _Call(Struct, frozen=True):
    """One authorised request."""

    bridge: Bridge
    request: Request
    tenant: str
    access: Access
    seen: list[str] = []

    @property
    def address(self) -> str:
        """Give the tenant's public base URL, or that of the link which the request came by."""
        base = self.bridge.address(self.tenant).rstrip("/")
        link = self.request.path_params.get("link")
        return f"{base}/link/{link}" if link else base

    @property
    def accept(self) -> str:
        """Give what the client accepts: the query parameter goes before the header (PS3.18 8.3.3.1)."""
        return self.request.query_params.get("accept") or self.request.headers.get("accept", "")

    def where(self) -> Where:
        """Give the place that the path names; raises Invalid for what is no UID."""
        uids = {
            name: self.request.path_params.get(name) for name in ("study", "series", "instance")
        }
        if not all(uid is None or attributes.is_uid(uid) for uid in uids.values()):
            raise outcome.Invalid("A path segment that should be a UID is none")
        return Where(uids["study"] or "", uids["series"], uids["instance"])

    async def permitted(self) -> Where:
        """Give the place that the path names if its study may be read; raises NotFound."""
        where = self.where()
        seen = await self.bridge.visible(self.tenant, self.access, where.study, "r")
        if seen is not None and where.study not in seen:
            raise outcome.NotFound("There is no such study, series or instance")
        return where

    async def found(self) -> list[Instance]:
        """Give the instances at the place that the path names; raises NotFound."""
        instances = await self.bridge.archive.instances(self.tenant, await self.permitted())
        if not instances:
            raise outcome.NotFound("There is no such study, series or instance")
        return list(instances)


def routes(bridge: Bridge) -> list[Route]:
    """Give the routes below the service's base, for mounting with or without a `tenant` in the path."""
    series = "/studies/{study}/series/{series}"
    instance = series + "/instances/{instance}"
    table: list[tuple[str, str, Letter, Answer]] = [
        ("POST", "/studies", "c", _store),
        ("POST", "/studies/{study}", "c", _store),
        ("GET", "/studies", "s", _searching("study")),
        ("GET", "/series", "s", _searching("series")),
        ("GET", "/instances", "s", _searching("instance")),
        ("GET", "/studies/{study}/series", "s", _searching("series")),
        ("GET", "/studies/{study}/instances", "s", _searching("instance")),
        ("GET", series + "/instances", "s", _searching("instance")),
        ("GET", "/studies/{study}", "r", _instances),
        ("GET", series, "r", _instances),
        ("GET", instance, "r", _instances),
        ("GET", "/studies/{study}/metadata", "r", _metadata),
        ("GET", series + "/metadata", "r", _metadata),
        ("GET", instance + "/metadata", "r", _metadata),
        ("GET", series + "/rendered", "r", _rendered),
        ("GET", instance + "/rendered", "r", _rendered),
        ("GET", instance + "/frames/{frames}", "r", _frames),
        ("GET", instance + "/frames/{frames}/rendered", "r", _rendered),
        ("GET", instance + "/bulkdata/{path:path}", "r", _bulkdata),
    ]
    return [
        Route(path, _guarded(bridge, letter, answer), methods=[method])
        for method, path, letter, answer in table
    ]


def _guarded(
    bridge: Bridge, letter: Letter, answer: Answer
) -> Callable[[Request], Awaitable[Response]]:
    """Authorise before answering, keep the access in the audit trail, and tell refusals as small JSON."""

    async def guarded(request: Request) -> Response:
        request_id = _request_id(request.headers.get("x-request-id", ""))
        response = await _answered(bridge, request, (letter, answer), request_id)
        response.headers["X-Request-Id"] = request_id
        bounded(response.headers)
        return response

    return guarded


async def _answered(
    bridge: Bridge, request: Request, what: tuple[Letter, Answer], request_id: str
) -> Response:
    letter, answer = what
    tenant = request.path_params.get("tenant", tenancy.DEFAULT)
    call: _Call | None = None
    try:
        if not tenancy.well_formed(tenant) or not await bridge.tenants(tenant):
            raise outcome.NotFound("There is no such tenant")
        access = await bridge.authorizer.access(tenant, _credentials(request))
        call = _Call(bridge, request, tenant, access, [])
        if not access.grants_for(_TYPE, letter):
            raise outcome.Forbidden("The token does not allow this with imaging studies")
        response = await answer(call)
        _tell(call, letter, response.status_code, request_id)
    except outcome.FhirError as fault:
        if call is not None and not isinstance(fault, outcome.Unavailable):
            _tell(call, letter, fault.status, request_id)
        return _refusal(fault)
    except ClientDisconnect:
        return Response(status_code=400)
    return response


def _told_path(request: Request) -> str:
    """Give the path below the service's base, without the token of a link."""
    path = request.url.path.partition("/dicom-web/")[2]
    link = request.path_params.get("link")
    return path.replace(f"link/{link}/", "link/", 1) if link else path


def _credentials(request: Request) -> dict[str, str]:
    """Give the headers; the token of a link in the path stands for a bearer token."""
    headers = dict(request.headers)
    if link := request.path_params.get("link"):
        headers["authorization"] = f"Bearer {link}"
    return headers


def _tell(call: _Call, letter: Letter, status: int, request_id: str) -> None:
    trail = call.bridge.trail
    if trail is None:
        return
    study = call.request.path_params.get("study", "")
    uids = call.seen or ([study] if attributes.is_uid(study) else [])
    trail.event(
        call.tenant,
        "dicom-web",
        _ACTS[letter],
        status,
        call.access,
        what=[f"urn:oid:{uid}" for uid in dict.fromkeys(uids)],
        query=call.request.query_params.multi_items(),
        path=_told_path(call.request),
        address=call.request.client.host if call.request.client else "",
        request=request_id,
    )


def _request_id(given: str) -> str:
    """Give the caller's request id if it is harmless, else one of ours."""
    return given if given and identifiers.harmless(given) else identifiers.hexadecimal()


def _refusal(fault: outcome.FhirError) -> Response:
    body = {"status": fault.status, "message": fault.issues[0].diagnostics}
    headers: dict[str, str] = {}
    if isinstance(fault, outcome.Unauthorised):
        headers = {"WWW-Authenticate": fault.challenge("dicom-web")}
    elif isinstance(fault, outcome.UnsupportedMediaType):
        headers = fault.reads
    return _json(body, "application/json", status=fault.status, headers=headers)


def _json(
    body: Any, media_type: str, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(
        model.serialise(body), status_code=status, headers=headers, media_type=media_type
    )


async def _store(call: _Call) -> Response:
    """Store Instances (PS3.18 10.5)."""
    if not all(call.access.granted(_TYPE, letter) for letter in ("c", "u")):
        raise outcome.Forbidden("Storing needs unlimited create and update of ImagingStudy")
    media_type = negotiation.require_json(call.accept)
    content_type = call.request.headers.get("content-type", "")
    stow.require_dicom(content_type)
    _require_modest(call)
    study = call.where().study or None
    body = stow.limited(call.request.stream(), call.bridge.largest)
    stowed = await stow.store(
        call.bridge.archive,
        call.bridge.ingest,
        (call.tenant, study),
        stow.contents(content_type, body),
    )
    found = stow.response(stowed, call.address)
    return _json(found, media_type, status=stow.status(stowed))


def _require_modest(call: _Call) -> None:
    length = call.request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > call.bridge.largest:
        raise outcome.TooLarge("The request is larger than this server takes at once")


def _searching(level: Level) -> Answer:
    """Search for Studies, Series or Instances (PS3.18 10.6)."""

    async def search(call: _Call) -> Response:
        """Give the page of matches that the caller may see; one more is asked for to know of further ones."""
        media_type = negotiation.require_json(call.accept)
        within = call.where() if "study" in call.request.path_params else None
        asked = qido.parse(level, within, call.request.query_params.multi_items())
        study = within.study if within else None
        seen = await call.bridge.visible(call.tenant, call.access, study, "s")
        query = structs.replace(asked.query, studies=seen, limit=asked.query.limit + 1)
        records = await call.bridge.archive.find(call.tenant, query)
        shown = records[: asked.query.limit]
        warnings = list(asked.warnings)
        if len(records) > len(shown):
            warnings.append("There are more results, which can be asked for with offset")
        headers = {"Warning": _warning(warnings)} if warnings else {}
        if not shown:
            return Response(status_code=204, headers=headers)
        found = [qido.result(one, level, asked.include, call.address) for one in shown]
        call.seen.extend(one.where.study for one in shown)
        return _json(found, media_type, headers=headers)

    return search


def _warning(texts: list[str]) -> str:
    """Give a Warning header of code 299 (PS3.18 8.4.2.2)."""
    return ", ".join(f'299 hounsfield "{text}"' for text in texts)


async def _instances(call: _Call) -> Response:
    """Retrieve a study's, a series' or one instance's DICOM files (PS3.18 10.4)."""
    found = await call.found()
    return await wado.instances(
        call.bridge.archive, call.tenant, found, (call.accept, call.address)
    )


async def _metadata(call: _Call) -> Response:
    """Retrieve metadata (PS3.18 10.4.1.1.2), streamed, compressed where the client takes it."""
    media_type = negotiation.require_json(call.accept)
    await call.found()
    content = wado.metadata(call.bridge.archive, call.tenant, call.where(), call.address)
    headers = {}
    if "gzip" in call.request.headers.get("accept-encoding", ""):
        content = wado.gzipped(content)
        headers["Content-Encoding"] = "gzip"
    return StreamingResponse(content, media_type=media_type, headers=headers)


async def _frames(call: _Call) -> Response:
    """Retrieve frames (PS3.18 10.4.1.1.6)."""
    numbers = wado.frame_numbers(call.request.path_params["frames"])
    (instance,) = await call.found()
    archive = call.bridge.archive

    async def frames() -> Response:
        return await wado.frames(archive, call.tenant, instance, numbers, call.accept)

    return await revalidated(call.request, instance, frames)


async def _rendered(call: _Call) -> Response:
    """Retrieve a picture of an instance, of one of its frames, or of a series' middle instance."""
    form = negotiation.choose(call.accept, rendered.FORMS)
    view = rendered.view(tuple(call.request.query_params.multi_items()))
    found = await call.found()
    number = wado.frame_numbers(call.request.path_params.get("frames", "1"))[0]
    instance = found[len(found) // 2]

    async def drawn() -> Response:
        file = await wado.opened(call.bridge.archive, call.tenant, instance)
        try:
            picture = await asyncio.to_thread(rendered.picture, file, number, view, form)
        finally:
            file.close()
        return Response(picture, media_type=form)

    return await revalidated(call.request, instance, drawn)


async def _bulkdata(call: _Call) -> Response:
    """Retrieve one long value (PS3.18 10.4.1.1.5)."""
    (instance,) = await call.found()
    path = call.request.path_params["path"]
    return await wado.bulkdata(call.bridge.archive, call.tenant, instance, path, call.accept)
