"""The socket that HTTP is answered on, and the address by which it is reached."""

import socket

from fhir_server.settings import Settings, SettingsError

_BACKLOG = 2048


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


def address(settings: Settings, listening: socket.socket) -> str:
    """Give the URL that clients reach the server by: the public one, else that of the socket."""
    if settings.public_url:
        return settings.public_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def ready(public_url: str) -> None:
    """Print, on one line of standard output, that requests are answered."""
    print(f"ready {public_url}/fhir", flush=True)  # noqa: T201 - the contract's line
