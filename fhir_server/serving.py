"""Serving in one process: uvicorn on uvloop over a socket that is bound already, a drained end."""

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop

from fhir_server import app, asgi
from fhir_server.app import stores
from fhir_server.app.folder import usable
from fhir_server.http.protocol import OnePiece
from fhir_server.installation import Installation
from fhir_server.settings import Settings, SettingsError
from fhir_server.supervision import Taken, alone

DRAIN_S = 15


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process serves: its socket, the address that clients know, whether it runs the children."""

    listening: socket.socket
    public_url: str
    leads: bool = True


Serving = Callable[[Installation], Awaitable[None]]
"""Is told once requests are answered and the children were started."""


def loop() -> asyncio.AbstractEventLoop:
    """Give the event loop that the server runs on."""
    return uvloop.new_event_loop()


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to us, so that SIGTERM drains and the exit status is 0."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


async def serve(settings: Settings, place: Place, serving: Serving) -> int:
    """Serve until SIGTERM (or SIGINT, where the process leads alone), drain, and give 0.

    Raises SettingsError where another server serves the data folder or the embedded store, or where one of
    them or the certificate cannot be used.
    """
    _refuse_certificate(settings)
    async with AsyncExitStack() as stack:
        if place.leads:
            _be_alone(stack, settings)
        house = await stack.enter_async_context(
            app.installation(settings, place.public_url, serving=True, leading=place.leads)
        )
        server = _Server(_config(settings, asgi.application(house)))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, server.handle_exit, name, None)
        told = asyncio.create_task(_tell(server, house, place, serving))
        try:
            await server.serve(sockets=[place.listening])
        finally:
            told.cancel()
            await asyncio.wait({told})
    return 0


def _be_alone(stack: AsyncExitStack, settings: Settings) -> None:
    """Be the one server of the data folder, and of an embedded store wherever its file lies."""
    _hold(stack, "data", settings.data, usable(settings.data) / ".serving")
    file = stores.file_of(settings)
    if file is not None:
        _hold(stack, "store", file, file.with_name(f"{file.name}-serving"))


def _hold(stack: AsyncExitStack, setting: str, served: Path, lock: Path) -> None:
    try:
        stack.enter_context(alone(lock))
    except Taken:
        raise SettingsError(f"{setting}: another server serves {served} already") from None
    except OSError as fault:
        raise SettingsError(f"{setting}: {lock} cannot be locked: {fault.strerror}") from None


def _refuse_certificate(settings: Settings) -> None:
    """Refuse files of a certificate that HTTPS cannot be served with."""
    if settings.tls_cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert, settings.tls_key
        )
    except OSError as fault:  # of which SSLError is one
        why = fault.strerror or type(fault).__name__
        files = f"{settings.tls_cert} and {settings.tls_key}"
        raise SettingsError(f"tls_cert and tls_key: {files} cannot be used: {why}") from None


def _config(settings: Settings, application: object) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # Starlette is an ASGI application
        http=OnePiece,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies) or None,
        ssl_certfile=str(settings.tls_cert) if settings.tls_cert else None,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
    )


async def _tell(server: _Server, house: Installation, place: Place, serving: Serving) -> None:
    await server.listening.wait()
    if place.leads:
        await house.start(place.listening.getsockname()[1])
    _spare_the_collector()
    await serving(house)


def _spare_the_collector() -> None:
    """Have what was made at the start not looked at again, and what a request makes mostly die unseen.

    A whole collection held all requests up for 60 ms.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
