"""Liveness, readiness by component, and metrics: /livez, /readyz, /metrics."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fhir_server.http.metrics import Metrics

Check = Callable[[], Awaitable[str]]
"""Gives "ok", "off", or what is wrong in a few words without PHI."""
Health = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the state of every component."""


def routes(state: Health, metrics: Metrics) -> list[Route]:
    """Give the three routes that an operator's tools ask."""

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        components = await state()
        well = all(state in {"ok", "off"} for state in components.values())
        content: dict[str, Any] = {"ready": well, "components": dict(components)}
        return JSONResponse(content, 200 if well else 503)

    async def measured(_: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return [Route("/livez", live), Route("/readyz", ready), Route("/metrics", measured)]
