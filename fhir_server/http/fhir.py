"""The FHIR door over HTTP: ASGI request to FhirRequest, FhirResponse to ASGI (FHIR R4 http.html)."""

import asyncio
import contextlib
import functools
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import structlog
from starlette.types import Receive, Scope, Send

from fhir_server.access import Access, Authorizer
from fhir_server.audit.trail import Trail
from fhir_server.context import Context, Services
from fhir_server.http import content, negotiation, rendering
from fhir_server.http.metrics import Metrics
from fhir_server.interactions import answer, binary
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import StoreUnavailable
from resources.outcome import FhirError, Invalid, NotFound, Unauthorised, Unavailable

log = structlog.get_logger()

_SAFE_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_MAX_ID = 64
_PIECE = 1 << 18
_NOBODY = Access("nobody")
EXPOSED = ("ETag", "Last-Modified", "Location", "Content-Location", "X-Request-Id", "X-Progress")
_PACKED = ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
_VARIES = (b"vary", b"accept")
_WRITES = frozenset({"POST", "PUT", "PATCH"})

Tenants = Callable[[str], Awaitable[bool]]
Bases = Callable[[str], str]
ServicesOf = Callable[[str], Services]
"""Gives the services of a tenant."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the door is given: whose tokens, which tenants, their bases, limits in bytes, origins of apps."""

    authorizer: Authorizer
    tenants: Tenants
    base: Bases
    metrics: Metrics
    max_body: int
    origins: re.Pattern[str]
    trail: Trail | None = None


class FhirDoor:
    """An ASGI application for the FHIR base of every tenant; the route gives `tenant` and `path`."""

    def __init__(self, services: ServicesOf, ports: Ports) -> None:
        self._services = services
        self._ports = ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure becomes an OperationOutcome."""
        begun = time.perf_counter()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        request_id = _request_id(headers.get("x-request-id"))
        response = await self._answered(scope, receive, headers, request_id)
        frame = [(b"x-request-id", request_id.encode()), _VARIES]
        if "origin" in headers:
            frame += self._cors(headers["origin"])
        if len(response.body) >= content.WORTH and content.wants_gzip(headers):
            frame += _PACKED
            response = replace(response, body=await content.packed(response.body))
        await _send(send, response, frame, without_body=scope["method"] == "HEAD")
        seconds = time.perf_counter() - begun
        self._ports.metrics.answered("fhir", scope["method"], response.status, seconds)

    def _cors(self, origin: str) -> list[tuple[bytes, bytes]]:
        """Give what lets an app of another origin read the answer, where that origin may."""
        if not self._ports.origins.fullmatch(origin):
            return []
        exposed = ", ".join(EXPOSED).encode()
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", exposed),
            (b"vary", b"origin"),
        ]

    async def _answered(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> FhirResponse:
        try:
            return await self._response(scope, receive, headers, request_id)
        except Unauthorised as refused:
            self._tell_refused(scope, request_id)
            failed = answer.failed(refused)
            challenge = {"WWW-Authenticate": 'Bearer realm="fhir"'}
            failed = FhirResponse(failed.status, failed.body, challenge)
        except FhirError as error:
            failed = answer.failed(error)
        except StoreUnavailable:
            failed = answer.failed(Unavailable("The store is closing or cannot be reached"))
        except Exception as fault:  # the HTTP edge: a fault is an outcome, never a trace
            log.exception("fault", request_id=request_id, kind=type(fault).__name__)
            failed = answer.failed(
                FhirError(f"A fault of the server; its log has it as {request_id}")
            )
        form = negotiation.asked_for_error(scope["query_string"], headers)
        return await rendering.told(failed, form)

    def _tell_refused(self, scope: Scope, request_id: str) -> None:
        """Tell the audit trail of a token that is not taken here."""
        if self._ports.trail is None:
            return
        with contextlib.suppress(Unavailable):  # it is refused anyway
            self._ports.trail.event(
                scope["path_params"].get("tenant", "default"),
                "fhir",
                "refused",
                401,
                address=(scope.get("client") or ("",))[0],
                path=scope["path_params"].get("path", ""),
                request=request_id,
            )

    async def _response(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> FhirResponse:
        tenant = scope["path_params"].get("tenant", "default")
        access = _NOBODY
        if scope["path_params"].get("path") != "metadata":
            access = await self._ports.authorizer.access(tenant, headers)
        if not await self._ports.tenants(tenant):
            raise NotFound("There is no such tenant")
        request = await self._request(scope, receive, headers)
        raw = binary.wants_raw(request)
        form = negotiation.PLAIN if raw else negotiation.asked(request.path, request.query, headers)
        if request.body:
            form = negotiation.asked_by_form(request.path, request.body, form)
        context = Context(
            tenant,
            access,
            self._ports.base(tenant),
            self._services(tenant),
            request_id,
            address=(scope.get("client") or ("",))[0],
        )
        response = await dispatch(context, request)
        return await (binary.raw(response) if raw else rendering.rendered(response, form))

    async def _request(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str]
    ) -> FhirRequest:
        path = unquote(scope["path_params"].get("path", "")).strip("/")
        try:
            query = tuple(
                parse_qsl(
                    scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict"
                )
            )
        except ValueError:
            raise Invalid("The query is not percent-encoded UTF-8") from None
        body = b""
        if scope["method"] in _WRITES:
            body = await content.read(receive, headers, self._ports.max_body)
            request = FhirRequest(scope["method"], path, query, headers, body)
            if binary.brings_raw(request):
                return await binary.taken(request)
            if body and negotiation.brings_xml(scope["method"], path, headers):
                body = await rendering.read_xml(body)
                headers = {**headers, "content-type": negotiation.JSON}
        return FhirRequest(scope["method"], path, query, headers, body)


def _request_id(given: str | None) -> str:
    """Give the caller's request id if it is harmless, else one of ours."""
    if given and len(given) <= _MAX_ID and _SAFE_ID.issuperset(given):
        return given
    return uuid.uuid4().hex


async def _send(
    send: Send, response: FhirResponse, headers: list[tuple[bytes, bytes]], *, without_body: bool
) -> None:
    headers += [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
    ]
    if (response.body or response.file) and binary.MEDIA_TYPE not in response.headers:
        headers.append((b"content-type", _content_type(response.media_type)))
    if response.status not in {204, 304}:
        size = response.file.stat().st_size if response.file else len(response.body)
        headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if response.file and not without_body:
        await _stream(send, response.file)
        return
    await send({"type": "http.response.body", "body": b"" if without_body else response.body})


@functools.cache
def _content_type(media_type: str) -> bytes:
    return (
        media_type.encode() if "ndjson" in media_type else f"{media_type}; charset=utf-8".encode()
    )


async def _stream(send: Send, file: Path) -> None:
    """Send a file in pieces, read off the event loop."""
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
