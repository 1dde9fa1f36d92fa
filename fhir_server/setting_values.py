"""How the text of a setting becomes its value; a reader raises ValueError with what it wants."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

S = TypeVar("S", bound=str)

_UNITS = {"": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+\Z")
LAST_PORT = 65535


def text(value: str) -> str:
    """Give the text, which must not be empty."""
    if not value.strip():
        raise ValueError("it is empty")
    return value.strip()


def one_of(*choices: S) -> Callable[[str], S]:
    """Give a reader of one of a few words."""

    def read(value: str) -> S:
        for choice in choices:
            if value == choice:
                return choice
        raise ValueError(f"it is none of {', '.join(choices)}")

    return read


def port(value: str) -> int:
    """Give a TCP port, 0 to 65535."""
    number = int(value) if value.isascii() and value.isdigit() else -1
    if not 0 <= number <= LAST_PORT:
        raise ValueError("a port is 0 to 65535")
    return number


def port_or_off(value: str) -> int | None:
    """Give a TCP port, or None for `off`."""
    return None if value == "off" else port(value)


def positive(value: str) -> int:
    """Give a whole number above 0."""
    number = int(value) if value.isascii() and value.isdigit() else 0
    if number < 1:
        raise ValueError("a whole number above 0")
    return number


def hours_or_off(value: str) -> tuple[int, int] | None:
    """Give the first hour and the one after the last of a range such as 6-20, None for `off`."""
    if value == "off":
        return None
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", value)
    hours = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 <= hours[0] < hours[1] <= 24:
        raise ValueError("hours from 0 to 24, the first before the second, or off")
    return hours


def size(value: str) -> int:
    """Give a number of bytes from digits with an optional suffix KiB, MiB or GiB."""
    match = re.fullmatch(r"(\d+)\s*([kKmMgG][iI][bB])?", value.strip())
    if match is None or int(match[1]) < 1:
        raise ValueError("a number of bytes, or one with KiB, MiB or GiB")
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def http_url(value: str) -> str | None:
    """Give an http or https origin without a trailing slash."""
    parts = urlsplit(value.rstrip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("a URL that begins with http:// or https://")
    if parts.path or parts.username:
        raise ValueError("a URL without a path or a user")
    return value.rstrip("/")


def store_url(value: str) -> str | None:
    """Give a store's URL: sqlite:///FILE, mongodb://… or mongodb+srv://…."""
    if not value.startswith(("sqlite:///", "mongodb://", "mongodb+srv://")):
        raise ValueError("it begins with sqlite:/// or mongodb://")
    return value


def archive(value: str) -> str:
    """Give `local`, or the http or https base URL of a DICOMweb server without a trailing slash."""
    parts = urlsplit(value)
    if value != "local" and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("local, or a URL that begins with http:// or https://")
    return value.rstrip("/")


def networks(value: str) -> tuple[str, ...]:
    """Give networks in CIDR notation from a list parted by commas or spaces."""
    return tuple(
        str(ipaddress.ip_network(part)) for part in re.split(r"[,\s]+", value.strip()) if part
    )


def urls(value: str) -> tuple[str, ...]:
    """Read absolute URIs separated by commas."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not all(_SCHEME.match(url) for url in found):
        raise ValueError("give absolute URIs, separated by commas")
    return found


def zone(value: str) -> str | None:
    """Give an IANA zone name that this machine knows, or an offset such as +01:00."""
    if _OFFSET.fullmatch(value):
        return value
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a zone such as Europe/Berlin or +01:00") from None


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """Give a URL with the password of its authority, if it has one, hidden."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


def store_file(url: str) -> Path | None:
    """Give the file of an embedded store's URL, None for a store that is elsewhere."""
    scheme, _, path = url.partition("://")
    return Path(path.removeprefix("/")) if scheme == "sqlite" else None
