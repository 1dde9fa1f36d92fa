"""The FHIR door over HTTP: ASGI request to FhirRequest, FhirResponse to ASGI (FHIR R4 http.html)."""

import contextlib
import functools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import structlog
from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from fhir_server import percent
from fhir_server.access import Access, Authorizer
from fhir_server.audit.trail import Trail
from fhir_server.context import Context, Services
from fhir_server.http import content, framing, negotiation, rendering, spool
from fhir_server.http.fields import fields
from fhir_server.http.metrics import Metrics
from fhir_server.http.sending import send_answer
from fhir_server.interactions import answer, binary
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Contents, Store, StoreUnavailable
from fhir_server.tenancy import DEFAULT
from resources.outcome import FhirError, Invalid, NotFound, Unauthorised, Unavailable

log = structlog.get_logger()

_PART = 206
_NOBODY = Access("nobody")
_PACKED = (b"content-encoding", b"gzip")
_WRITES = frozenset({"POST", "PUT", "PATCH"})
_TOLD_IN_BODY = "hounsfield.told_in_body"
"""Where the scope of a request has what its body says of the form of the answer, for errors too."""
_REALM = "fhir"
_MARK = b"\xef\xbb\xbf"
"""The byte order mark, which whoever reads JSON may pass over (RFC 8259 8.1), and XML has at its start."""

Tenants = Callable[[str], Awaitable[bool]]
Bases = Callable[[str], str]
ServicesOf = Callable[[str], Services]
"""Gives the services of a tenant."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the door is given: whose tokens, which tenants, their bases, limits in bytes, origins of apps.

    `contents` are those that lie beside the store, `over` gives services over that or another view of it, and
    `spool` is the folder where contents wait on their way in.
    """

    authorizer: Authorizer
    tenants: Tenants
    base: Bases
    contents: Contents
    over: Callable[[str, Store], Services]
    metrics: Metrics
    spool: Path
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
        headers = fields(scope["headers"])
        request_id = framing.request_id(headers.get("x-request-id"))
        try:
            response = await self._response(scope, receive, headers, request_id)
        except (FhirError, StoreUnavailable) as failed:
            response = await self._failed(failed, scope, headers, request_id)
        except Exception as fault:  # the HTTP edge: a fault is an outcome, never a trace
            log.exception("fault", request_id=request_id, kind=type(fault).__name__)
            told = FhirError(f"A fault of the server; its log has it as {request_id}")
            response = await self._failed(told, scope, headers, request_id)
        path = scope["path_params"].get("path", "")
        frame = framing.frame(path, request_id, headers, self._ports.origins)
        if len(response.body) >= content.WORTH and _to_be_packed(response, headers):
            frame.append(_PACKED)
            response = replace(response, body=await content.packed(response.body))
        without_body = scope["method"] == "HEAD"
        await send_answer(send, receive, response, frame, without_body=without_body)
        seconds = time.perf_counter() - begun
        self._ports.metrics.answered("fhir", scope["method"], response.status, seconds)

    async def _failed(
        self,
        fault: FhirError | StoreUnavailable,
        scope: Scope,
        headers: Mapping[str, str],
        request_id: str,
    ) -> FhirResponse:
        """Give the OperationOutcome of a failure, in the form asked for."""
        if isinstance(fault, StoreUnavailable):
            fault = Unavailable(fault.told, issue=fault.issue)
        failed = answer.failed(fault)
        if isinstance(fault, Unauthorised):
            self._tell_refused(scope, request_id)
            failed = replace(failed, headers={"WWW-Authenticate": fault.challenge(_REALM)})
        body = scope.get(_TOLD_IN_BODY, ())
        form = negotiation.asked_for_error(scope["query_string"], headers, body)
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
        place = scope["path_params"]
        tenant = place.get("tenant", DEFAULT)
        access = _NOBODY
        if place.get("path") != "metadata":
            access = await self._ports.authorizer.access(tenant, headers)
        if tenant != DEFAULT and not await self._ports.tenants(tenant):
            raise NotFound("There is no such tenant")
        request = await self._request(scope, receive, headers)
        context = Context(
            tenant,
            access,
            self._ports.base(tenant),
            self._services(tenant),
            request_id,
            address=(scope.get("client") or ("",))[0],
        )
        if binary.is_read(request):
            return await self._binary(context, request)
        if request.brought is not None:
            with request.brought.file:
                return await self._binary(context, request)
        told = scope.get(_TOLD_IN_BODY, ())
        form = negotiation.asked(request.path, request.query, headers, told)
        response = await dispatch(context, request)
        return await rendering.answered(request, response, form)

    async def _binary(self, context: Context, request: FhirRequest) -> FhirResponse:
        """Answer a request for one Binary; a large content is never in memory as a whole."""
        accept = request.headers.get("accept", "") if binary.may_be_raw(request) else ""
        form = negotiation.PLAIN
        if not accept:
            form = negotiation.asked(request.path, request.query, request.headers)
        contents = self._ports.contents
        store = contents.bringing(request.brought) if request.brought else contents.marked
        services = self._ports.over(context.tenant, store)
        response = await dispatch(replace(context, services=services), request)
        held = await contents.content(context.tenant, response.body)
        if accept:
            wanted = functools.partial(negotiation.wants_content, accept)
            raw = await binary.raw(response, wanted, held)
            if raw is not None:
                return binary.ranged(request, raw, held)
            form = negotiation.asked(request.path, request.query, request.headers)
        if held is not None:
            response = await binary.whole(response, held, at_once=form != negotiation.PLAIN)
        return await rendering.answered(request, response, form)

    async def _request(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str]
    ) -> FhirRequest:
        path = unquote(scope["path_params"].get("path", "")).strip("/")
        query = _pairs(scope["query_string"]) if scope["query_string"] else ()
        body = b""
        if scope["method"] in _WRITES:
            request = FhirRequest(scope["method"], path, query, headers)
            if binary.brings_raw(request):
                brought = await spool.read(
                    receive, headers, self._ports.max_body, self._ports.spool
                )
                return await binary.taken(request, brought)
            body = await content.read(receive, headers, self._ports.max_body)
            body = body.removeprefix(_MARK)
            scope[_TOLD_IN_BODY] = negotiation.told_in_body(path, body)
            if body and negotiation.brings_xml(scope["method"], path, headers):
                body = await rendering.read_xml(body)
                headers = {**headers, "content-type": negotiation.JSON}
        return FhirRequest(scope["method"], path, query, headers, body)


def _pairs(query: bytes) -> tuple[tuple[str, str], ...]:
    """Parse a query; raises Invalid."""
    try:
        return percent.pairs(query.decode("ascii"))
    except ValueError:
        raise Invalid("The query is not percent-encoded UTF-8") from None


def _to_be_packed(response: FhirResponse, headers: Mapping[str, str]) -> bool:
    """Tell whether an answer's body is sent as gzip: not a part of one, nor what is packed already."""
    if response.status == _PART or not content.wants_gzip(headers):
        return False
    return content.packable(response.media_type)
