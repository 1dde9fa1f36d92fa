"""The FHIR door over HTTP: ASGI request to FhirRequest, FhirResponse to ASGI (FHIR R4 http.html)."""

import asyncio
import functools
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import structlog
from starlette.types import Message, Receive, Scope, Send

from fhir_server.access import Access, Authorizer
from fhir_server.context import Context, Services
from fhir_server.http import negotiation
from fhir_server.http.metrics import Metrics
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import StoreUnavailable
from resources.outcome import FhirError, Invalid, NotFound, TooLarge, Unauthorised, Unavailable

log = structlog.get_logger()

_SAFE_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_MAX_ID = 64
_PIECE = 1 << 18
_NOBODY = Access("nobody")
EXPOSED = ("ETag", "Last-Modified", "Location", "Content-Location", "X-Request-Id", "X-Progress")
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
)
_WRITES = frozenset({"POST", "PUT", "PATCH"})

Tenants = Callable[[str], Awaitable[bool]]
Bases = Callable[[str], str]


class FhirDoor:
    """An ASGI application for the FHIR base of every tenant; the route gives `tenant` and `path`."""

    def __init__(
        self,
        services: Services,
        authorizer: Authorizer,
        tenants: Tenants,
        base: Bases,
        *,
        metrics: Metrics,
        max_body: int,
    ) -> None:
        self._services = services
        self._authorizer = authorizer
        self._tenants = tenants
        self._base = base
        self._metrics = metrics
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure becomes an OperationOutcome."""
        begun = time.perf_counter()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        request_id = _request_id(headers.get("x-request-id"))
        response = await self._answered(scope, receive, headers, request_id)
        frame = [(b"x-request-id", request_id.encode())]
        if "origin" in headers:
            frame += _CORS
        await _send(send, response, frame, without_body=scope["method"] == "HEAD")
        seconds = time.perf_counter() - begun
        self._metrics.answered("fhir", scope["method"], response.status, seconds)

    async def _answered(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> FhirResponse:
        try:
            return await self._response(scope, receive, headers, request_id)
        except Unauthorised as refused:
            told = answer.failed(refused)
            return FhirResponse(told.status, told.body, {"WWW-Authenticate": 'Bearer realm="fhir"'})
        except FhirError as error:
            return answer.failed(error)
        except StoreUnavailable:
            return answer.failed(Unavailable("The store is closing or cannot be reached"))
        except Exception as fault:  # the HTTP edge: a fault is an outcome, never a trace
            log.exception("fault", request_id=request_id, kind=type(fault).__name__)
            return answer.failed(
                FhirError(f"A fault of the server; its log has it as {request_id}")
            )

    async def _response(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> FhirResponse:
        tenant = scope["path_params"].get("tenant", "default")
        access = _NOBODY
        if scope["path_params"].get("path") != "metadata":
            access = await self._authorizer.access(tenant, headers)
        if not await self._tenants(tenant):
            raise NotFound("There is no such tenant")
        request = await self._request(scope, receive, headers)
        negotiation.refuse_unwanted(request.path, request.query, headers)
        context = Context(tenant, access, self._base(tenant), self._services, request_id)
        response = await dispatch(context, request)
        if response.body and negotiation.pretty(request.query):
            body = negotiation.indented(response.body)
            return FhirResponse(response.status, body, response.headers, response.media_type)
        return response

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
            body = await self._body(receive, headers)
            if body:
                negotiation.refuse_unreadable(headers, path)
        return FhirRequest(scope["method"], path, query, headers, body)

    async def _body(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """Read the body up to the limit; raises TooLarge."""
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body:
            raise TooLarge(f"A body may have {self._max_body} bytes")
        parts, size, more = [], 0, True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                raise Invalid("The request ended before its body did", issue="incomplete")
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                raise TooLarge(f"A body may have {self._max_body} bytes")
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


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
    if response.body or response.file:
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
