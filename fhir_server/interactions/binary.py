"""Binary given and taken as what it is, not as a resource: https://hl7.org/fhir/R4/binary.html#rest"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from functools import partial

from msgspec.structs import replace

from fhir_server.message import FhirRequest, FhirResponse, Pieces
from fhir_server.store.port import Brought, Content
from resources.model import Resource, parse, serialise
from resources.outcome import FhirError, Issue, operation_outcome

TYPE = "Binary"
MEDIA_TYPE = "Content-Type"
"""The header that an answer with a content of its own brings itself, exactly as it was stored."""
_JSON = "application/fhir+json"
_RESOURCES = frozenset(
    {_JSON, "application/fhir+xml", "application/json", "application/xml", "text/json", "text/xml"}
)
_UNKNOWN = "application/octet-stream"
_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:; ?[\w.-]+=(?:[\w.+-]+|\"[\w .+-]+\"))*", re.ASCII
)
_HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
"""What a client stored must not act with this server's own rights in a browser."""
_VREAD = 4
_ON_LOOP = 1 << 16
_RANGE = re.compile(r"bytes=(?=.*\d)(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


def may_be_raw(request: FhirRequest) -> bool:
    """Tell whether it is for Accept to say if a read or vread gives the content itself or the resource."""
    return is_read(request) and not any(name == "_format" for name, _ in request.query)


def is_read(request: FhirRequest) -> bool:
    """Tell whether a request is a read or vread of a whole Binary."""
    if not request.path.startswith(TYPE) or request.method not in {"GET", "HEAD"}:
        return False
    place, *rest = _parts(request.path)
    if place != TYPE or not rest:
        return False
    if rest[0][:1] in {"_", "$"} or (len(rest) > 1 and len(rest) != _VREAD - 1):
        return False
    return not any(name in {"_summary", "_elements"} for name, _ in request.query)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


async def raw(
    response: FhirResponse, wanted: Callable[[str], bool], content: Content | None = None
) -> FhirResponse | None:
    """Give the content of the Binary in an answer, under its own media type; others as they are.

    None where a content of that media type is not wanted. `content` is what lies beside the resource, and is
    given in pieces.
    """
    if not response.body or response.status != 200:
        return response
    if len(response.body) < _ON_LOOP:
        found = _content(response.body, wanted, content)
    else:
        found = await asyncio.to_thread(_content, response.body, wanted, content)
    if found is None:
        return None
    data, media_type = found
    headers = {**response.headers, **_HARMLESS, MEDIA_TYPE: media_type}
    pieces = None
    if content is not None:
        pieces = Pieces(content.size, partial(content.pieces, 0, content.size))
    return FhirResponse(200, data, headers, media_type, pieces=pieces)


def _content(
    body: bytes, wanted: Callable[[str], bool], content: Content | None
) -> tuple[bytes, str] | None:
    resource = parse(body)
    media_type = str(resource.get("contentType", ""))
    media_type = media_type if _MEDIA_TYPE.fullmatch(media_type) else _UNKNOWN
    if not wanted(media_type):
        return None
    try:
        data = b"" if content else base64.b64decode(resource.get("data", ""))
    except ValueError:
        raise FhirError("The content is not base64; ask for the resource") from None
    return data, media_type


def ranged(request: FhirRequest, response: FhirResponse, content: Content | None) -> FhirResponse:
    """Give the part of a content that Range asks for (RFC 9110 14): 206, 416, or the whole.

    One range of bytes is understood; another unit, several ranges and If-Range, for which the ETag of a
    resource is too weak, get the whole.
    """
    if response.status != 200:
        return response
    size = content.size if content else len(response.body)
    headers = {**response.headers, "Accept-Ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or request.method != "GET" or "if-range" in request.headers:
        return replace(response, headers=headers)
    if asked[1] and asked[2] and int(asked[1]) > int(asked[2]):
        return replace(response, headers=headers)
    first, stop = _bounds(asked, size)
    if first >= stop:
        told = Issue("error", "value", f"The content has {size} bytes")
        return FhirResponse(
            416, serialise(operation_outcome((told,))), {"Content-Range": f"bytes */{size}"}
        )
    headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
    if content is None:
        return replace(response, status=206, headers=headers, body=response.body[first:stop])
    pieces = Pieces(stop - first, partial(content.pieces, first, stop))
    return replace(response, status=206, headers=headers, pieces=pieces)


def _bounds(asked: re.Match[str], size: int) -> tuple[int, int]:
    """Give the first byte of a range and the one after its last; no byte where it is out of bounds."""
    if not asked[1]:
        return max(size - int(asked[2]), 0), size
    return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


async def whole(response: FhirResponse, content: Content, *, at_once: bool) -> FhirResponse:
    """Give the resource in an answer with its content in place; in pieces unless it is wanted at once."""
    size = len(content.head) + -(-content.size // 3) * 4 + len(content.tail)
    pieces = Pieces(size, partial(_encoded, content))
    if not at_once:
        return replace(response, body=b"", pieces=pieces)
    return replace(response, body=b"".join([piece async for piece in pieces.read()]))


async def _encoded(content: Content) -> AsyncIterator[bytes]:
    """Give the resource's JSON piece by piece, its content as base64."""
    yield content.head
    rest = b""
    async for piece in content.pieces(0, content.size):
        data = rest + piece
        cut = len(data) // 3 * 3
        rest = data[cut:]
        yield await asyncio.to_thread(base64.b64encode, data[:cut])
    yield base64.b64encode(rest) + content.tail


def brings_raw(request: FhirRequest) -> bool:
    """Tell whether a create or an update brings the content itself: its media type is no resource's."""
    if not request.path.startswith(TYPE):
        return False
    given = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    place, *rest = _parts(request.path)
    if place != TYPE or given in _RESOURCES:
        return False
    return (request.method, len(rest)) in {("POST", 0), ("PUT", 1)} and "_search" not in rest


async def taken(request: FhirRequest, brought: bytes | Brought) -> FhirRequest:
    """Give the request that stores a content as a Binary; X-Security-Context says who may read it.

    A content that waits in a file stays there: the store puts it beside the resource.
    """
    resource: Resource = {"resourceType": TYPE}
    _, *id_ = _parts(request.path)
    if id_:
        resource["id"] = id_[0]
    resource["contentType"] = request.headers["content-type"]
    if "x-security-context" in request.headers:
        resource["securityContext"] = {"reference": request.headers["x-security-context"]}
    waiting = None
    if isinstance(brought, Brought):
        waiting = brought
    elif brought:
        resource["data"] = (await asyncio.to_thread(base64.b64encode, brought)).decode()
    headers = {**request.headers, "content-type": _JSON}
    return replace(request, headers=headers, body=serialise(resource), brought=waiting)
