"""Form bodies and query strings as OAuth wants them read (RFC 6749 §3.1-2, appendix B)."""

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from smart_auth.oauth_error import InvalidRequest

Pairs = list[tuple[str, str]]
_LARGEST = 65_536
_MOST_FIELDS = 200


def query(request: Request) -> Pairs:
    """Give the pairs of the query string; raises InvalidRequest."""
    return pairs(request.url.query)


async def body(request: Request) -> Pairs:
    """Give the pairs of a form-encoded body; raises InvalidRequest for any other or a huge one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("The body must be application/x-www-form-urlencoded")
    return pairs((await bounded(request)).decode("utf-8", "replace"))


async def bounded(request: Request) -> bytes:
    """Give the body; raises InvalidRequest for one of more than 64 KiB."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > _LARGEST:
            raise InvalidRequest("The body is larger than 64 KiB")
    return bytes(data)


def pairs(text: str) -> Pairs:
    """Read form encoding; raises InvalidRequest."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidRequest("There are too many parameters") from None


def once(found: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Give parameters by name; empty ones count as absent, repeated ones raise InvalidRequest."""
    named: dict[str, str] = {}
    for name, value in found:
        if name in named:
            raise InvalidRequest("A parameter is given more than once")
        named[name] = value
    return {name: value for name, value in named.items() if value}
