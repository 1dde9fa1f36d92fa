"""Serving: a bound socket, uvicorn on uvloop, the ready line, a drained end."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop

from fhir_server import app, asgi, logs
from fhir_server.settings import Settings, SettingsError

_DRAIN = 15
_BACKLOG = 2048


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


async def serve(settings: Settings) -> int:
    """Serve until a signal; prints `ready URL` on one line once requests are answered."""
    logs.configure(settings.log_level)
    listening = bind(settings.host, settings.port)
    public_url = settings.public_url or _address(settings, listening)
    port: int = listening.getsockname()[1]
    async with app.installation(settings, public_url, serving=True) as house:
        server = _Server(_config(settings, asgi.application(house)))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, server.handle_exit, name, None)
        told = asyncio.create_task(_tell(server, house, public_url, port))
        try:
            await server.serve(sockets=[listening])
        finally:
            told.cancel()
    return 0


def bind(host: str, port: int) -> socket.socket:
    """Bind the listening socket; raises SettingsError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as fault:
        made.close()
        raise SettingsError(f"{host}:{port} cannot be listened on: {fault.strerror}") from None
    made.listen(_BACKLOG)
    made.settimeout(0)
    return made


def _address(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _config(settings: Settings, application: object) -> uvicorn.Config:
    return uvicorn.Config(
        application,  # type: ignore[arg-type]  # Starlette is an ASGI application
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies) or None,
        ssl_certfile=str(settings.tls_cert) if settings.tls_cert else None,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        timeout_graceful_shutdown=_DRAIN,
        timeout_keep_alive=75,
    )


async def _tell(server: _Server, house: app.Installation, public_url: str, port: int) -> None:
    await server.listening.wait()
    await house.start(port)
    print(f"ready {public_url}/fhir", flush=True)  # noqa: T201 - the contract's line
