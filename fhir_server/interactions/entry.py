"""One entry of a batch or transaction: its request as an edge would give it, its response as Bundle.entry."""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.context import Context
from fhir_server.message import FhirRequest, FhirResponse
from resources.model import parse, serialise
from resources.outcome import Invalid

_HEADERS = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_REFUSED = 400

Answered = tuple[dict[str, Any], bytes, str]


def request_of(context: Context, entry: dict[str, Any], index: int) -> FhirRequest:
    """Give an entry's request without its body; raises Invalid naming the entry."""
    asked = entry.get("request")
    method = asked.get("method") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(method, str) or method not in _METHODS:
        raise Invalid(
            "The entry needs a request with a method", expression=f"Bundle.entry[{index}].request"
        )
    url = asked.get("url")
    if not isinstance(url, str):
        raise Invalid("The entry needs a url", expression=f"Bundle.entry[{index}].request.url")
    path, _, query = url.removeprefix(context.base + "/").removeprefix("/").partition("?")
    headers = {h: str(asked[n]) for n, h in _HEADERS.items() if n in asked}
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    return FhirRequest(asked["method"], path, pairs, headers)


def whole_request(context: Context, entry: dict[str, Any], index: int) -> FhirRequest:
    """Give an entry's request as the HTTP edge would, body included; raises Invalid."""
    request = request_of(context, entry, index)
    resource = entry.get("resource")
    if not isinstance(resource, dict):
        return request
    if request.method == "PATCH" and resource.get("resourceType") == "Binary":
        headers = {**request.headers, "content-type": str(resource.get("contentType", ""))}
        return replace(request, headers=headers, body=_data(resource, index))
    return replace(request, body=serialise(resource))


def _data(binary: dict[str, Any], index: int) -> bytes:
    """Give what a Binary holds: in an entry that patches, the patch (http.html#patch)."""
    try:
        return base64.b64decode(binary.get("data", ""), validate=True)
    except (ValueError, TypeError):
        raise Invalid(
            "The Binary's data is no base64", expression=f"Bundle.entry[{index}].resource.data"
        ) from None


def rendered(response: FhirResponse) -> Answered:
    """Give a response as the entry of a response Bundle: element, resource, full URL."""
    told: dict[str, Any] = {"status": str(response.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in response.headers:
            told[name] = response.headers[header]
    if response.status >= _REFUSED:
        told["outcome"] = parse(response.body)
        return told, b"", ""
    full_url = response.headers.get("Location", "").partition("/_history/")[0]
    return told, response.body, full_url
