"""One entry of a batch or transaction: its request as an edge would give it, its response as Bundle.entry."""

import base64
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import instant
from resources.model import parse, serialise
from resources.outcome import Invalid, Issue

_HEADERS = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}
_REQUEST = frozenset({"id", "extension", "method", "url", *_HEADERS})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_REFUSED = 400
_OUTCOME = b'{"resourceType":"OperationOutcome"'
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

Answered = tuple[dict[str, Any], bytes, str]


def request_of(
    context: Context, entry: dict[str, Any], index: int, wishes: Mapping[str, str] = NOTHING
) -> FhirRequest:
    """Give an entry's request without its body; raises Invalid naming the entry.

    `wishes` is the header Prefer that the Bundle came with.
    """
    asked = entry.get("request")
    method = asked.get("method") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(method, str) or method not in _METHODS:
        raise Invalid(
            "The entry needs a request with a method", expression=f"Bundle.entry[{index}].request"
        )
    url = asked.get("url")
    if not isinstance(url, str):
        raise Invalid("The entry needs a url", expression=f"Bundle.entry[{index}].request.url")
    if not asked.keys() <= _REQUEST:
        _refuse_unknown(asked, index)
    path, _, query = url.removeprefix(context.base + "/").removeprefix("/").partition("?")
    headers = {**wishes, **{h: str(asked[n]) for n, h in _HEADERS.items() if n in asked}}
    pairs = tuple(parse_qsl(query, keep_blank_values=True)) if query else ()
    return FhirRequest(asked["method"], path, pairs, headers)


def _refuse_unknown(asked: dict[str, Any], index: int) -> None:
    """Refuse a request with an element that is none: what was to be a condition would not be one."""
    for name in asked.keys() - _REQUEST:
        if name.removeprefix("_") not in _REQUEST:
            raise Invalid(
                "The entry's request has an element that R4 does not know",
                issue="structure",
                expression=f"Bundle.entry[{index}].request",
            )


def whole_request(
    context: Context, entry: dict[str, Any], index: int, wishes: Mapping[str, str] = NOTHING
) -> FhirRequest:
    """Give an entry's request as the HTTP edge would, body included; raises Invalid."""
    request = request_of(context, entry, index, wishes)
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


def told_at(place: str, issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Give the issues of an entry with their expressions below the entry's place in its Bundle."""
    return tuple(replace(issue, expression=_below(place, issue.expression)) for issue in issues)


def _below(place: str, expression: str | None) -> str:
    if expression and expression.startswith("Bundle.entry"):
        return expression
    below = (expression or "").partition(".")[2]
    return f"{place}.resource.{below}" if below else place


def rendered(response: FhirResponse, method: str = "") -> Answered:
    """Give a response as the entry of a response Bundle: element, resource, full URL; of HEAD no resource."""
    told: dict[str, Any] = {"status": str(response.status)}
    for header, name in (("Location", "location"), ("ETag", "etag")):
        if header in response.headers:
            told[name] = response.headers[header]
    if response.written:
        told["lastModified"] = instant(response.written)
        if response.body.startswith(_OUTCOME):
            told["outcome"] = parse(response.body)
            return told, b"", ""
    if response.status >= _REFUSED:
        told["outcome"] = parse(response.body)
        return told, b"", ""
    full_url = response.headers.get("Location", "").partition("/_history/")[0]
    return told, b"" if method == "HEAD" else response.body, full_url
