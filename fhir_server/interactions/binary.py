"""Binary given and taken as what it is, not as a resource: https://hl7.org/fhir/R4/binary.html#rest"""

import asyncio
import base64
import re

from fhir_server.message import FhirRequest, FhirResponse
from resources.model import Resource, parse, serialise
from resources.outcome import FhirError

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


def wants_raw(request: FhirRequest) -> bool:
    """Tell whether a read or vread asks for the content itself: Accept and _format name no resource type."""
    if not request.path.startswith(TYPE) or request.method not in {"GET", "HEAD"}:
        return False
    place, *rest = request.path.split("/")
    if place != TYPE or not rest:
        return False
    if rest[0][:1] in {"_", "$", ""} or (len(rest) > 1 and len(rest) != _VREAD - 1):
        return False
    if any(name in {"_format", "_summary", "_elements"} for name, _ in request.query):
        return False
    accept = request.headers.get("accept", "").lower()
    kinds = {part.partition(";")[0].strip() for part in accept.split(",")} - {""}
    return bool(kinds) and not kinds & _RESOURCES


async def raw(response: FhirResponse) -> FhirResponse:
    """Give the content of the Binary in an answer, under its own media type; others as they are."""
    if not response.body or response.status != 200:
        return response
    if len(response.body) < 1 << 16:
        data, media_type = _content(response.body)
    else:
        data, media_type = await asyncio.to_thread(_content, response.body)
    headers = {**response.headers, **_HARMLESS, MEDIA_TYPE: media_type}
    return FhirResponse(200, data, headers, media_type)


def _content(body: bytes) -> tuple[bytes, str]:
    resource = parse(body)
    try:
        data = base64.b64decode(resource.get("data", ""))
    except ValueError:
        raise FhirError("The content is not base64; ask for the resource") from None
    media_type = str(resource.get("contentType", ""))
    return data, media_type if _MEDIA_TYPE.fullmatch(media_type) else _UNKNOWN


def brings_raw(request: FhirRequest) -> bool:
    """Tell whether a create or an update brings the content itself: its media type is no resource's."""
    if not request.path.startswith(TYPE):
        return False
    given = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    place, *rest = request.path.split("/")
    if place != TYPE or given in _RESOURCES:
        return False
    return (request.method, len(rest)) in {("POST", 0), ("PUT", 1)} and "_search" not in rest


async def taken(request: FhirRequest) -> FhirRequest:
    """Give the request that stores a content as a Binary; X-Security-Context says who may read it."""
    resource: Resource = {"resourceType": TYPE}
    if "/" in request.path:
        resource["id"] = request.path.partition("/")[2]
    resource["contentType"] = request.headers["content-type"]
    if "x-security-context" in request.headers:
        resource["securityContext"] = {"reference": request.headers["x-security-context"]}
    if request.body:
        encoded = await asyncio.to_thread(base64.b64encode, request.body)
        resource["data"] = encoded.decode()
    headers = {**request.headers, "content-type": _JSON}
    return FhirRequest(request.method, request.path, request.query, headers, serialise(resource))
