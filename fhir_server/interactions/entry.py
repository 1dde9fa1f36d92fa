"""One entry of a batch or transaction: its request as an edge would give it, its response as Bundle.entry."""

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

from msgspec.structs import replace

from fhir_server import percent
from fhir_server.context import Context
from fhir_server.interactions import answer
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import instant
from resources import datatypes
from resources.model import parse, serialise
from resources.outcome import Invalid, Issue, NotAcceptable, NotSupported

_HEADERS = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}
_TOLD = (("Content-Location", "location"), ("Location", "location"), ("ETag", "etag"))
"""The headers that a response tells of; of what is answered later the place where it will be."""
_JSON = "application/fhir+json"
_ASYNC = "_async"
_BRINGING = frozenset({"PUT", "PATCH"})
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
    asked = _asked(context, entry, f"Bundle.entry[{index}]")
    path, query = _parted(context.below(asked["url"]), index)
    if path.partition("/")[0] == _ASYNC:
        raise NotSupported(
            "What is answered later is asked for alone, not in a Bundle",
            expression=f"Bundle.entry[{index}].request.url",
        )
    headers = {**wishes, **{h: asked[n] for n, h in _HEADERS.items() if n in asked}}
    if "ifModifiedSince" in asked:
        headers["if-modified-since"] = _http_date(asked["ifModifiedSince"], index)
    return FhirRequest(asked["method"], path, query, headers)


def _asked(context: Context, entry: dict[str, Any], place: str) -> dict[str, str]:
    """Give an entry's request once it and what stands beside it have the form that they must have."""
    refuse_unknown(context, "Bundle.entry", entry, place)
    if not isinstance(entry.get("resource", {}), dict):
        raise Invalid("The resource is no object", expression=f"{place}.resource")
    _refuse_other(entry, ("fullUrl",), place)
    asked = entry.get("request")
    method = asked.get("method") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(method, str) or method not in _METHODS:
        raise Invalid("The entry needs a request with a method", expression=f"{place}.request")
    if not isinstance(asked.get("url"), str):  # that of the base itself is empty
        raise Invalid("The entry needs a url", expression=f"{place}.request.url")
    refuse_unknown(context, "Bundle.entry.request", asked, f"{place}.request")
    _refuse_other(asked, _HEADERS, f"{place}.request")
    return asked


def _refuse_other(found: Mapping[str, Any], names: Iterable[str], place: str) -> None:
    """Refuse those of some elements that are no strings, or empty ones."""
    for name in names:
        if name in found and not (isinstance(found[name], str) and found[name]):
            raise Invalid(f"{name} is a string", issue="value", expression=f"{place}.{name}")


def refuse_unknown(context: Context, path: str, found: Mapping[str, Any], place: str) -> None:
    """Refuse a part of a Bundle with an element that is none: what it was to say would go unheard.

    A modifierExtension is one of these: nothing that it could say is understood.
    """
    known = context.services.definitions.children(path)
    for name in found:
        if name not in known and name.removeprefix("_") not in known and name != "resourceType":
            raise Invalid(
                "There is an element that R4 does not know here",
                issue="structure",
                expression=place,
            )
    if "modifierExtension" in found:
        raise Invalid(
            "A modifierExtension that is not understood", issue="extension", expression=place
        )


def _parted(url: str, index: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Give the path and the query of an entry's url, decoded as those of a request are."""
    path, _, query = url.partition("?")
    try:
        percent.refuse_broken(path)
        steps = [unquote(step, errors="strict") for step in path.split("/") if step]
        pairs = percent.pairs(query) if query else ()
    except ValueError:
        raise Invalid(
            "The url is not percent-encoded UTF-8", expression=f"Bundle.entry[{index}].request.url"
        ) from None
    return "/".join(steps), pairs


def _http_date(moment: Any, index: int) -> str:
    """Give an instant as the header If-Modified-Since has it, in whole seconds (RFC 9110 5.6.7)."""
    try:
        seconds = datatypes.interval(moment)[0] // 1000
        return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    except (ValueError, TypeError, OverflowError):
        raise Invalid(
            "ifModifiedSince is an instant",
            issue="value",
            expression=f"Bundle.entry[{index}].request.ifModifiedSince",
        ) from None


def whole_request(
    context: Context, entry: dict[str, Any], index: int, wishes: Mapping[str, str] = NOTHING
) -> FhirRequest:
    """Give an entry's request as the HTTP edge would, body included; raises Invalid."""
    request = request_of(context, entry, index, wishes)
    resource = entry.get("resource")
    if resource is None:
        _refuse_bodiless(request, index)
        return request
    if request.method == "PATCH" and resource.get("resourceType") == "Binary":
        headers = {**request.headers, "content-type": str(resource.get("contentType", ""))}
        return replace(request, headers=headers, body=_data(resource, index))
    return replace(request, body=serialise(resource))


def _refuse_bodiless(request: FhirRequest, index: int) -> None:
    """Refuse an entry that writes and brings nothing; searches and operations by POST need no body."""
    last = request.path.rpartition("/")[2]
    posts = request.method == "POST" and last != "_search" and last[:1] != "$"
    if posts or request.method in _BRINGING:
        raise Invalid("The entry needs a resource", expression=f"Bundle.entry[{index}].resource")


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
    """Give a response as the entry of a response Bundle: element, resource, full URL; of HEAD no resource.

    What is no resource, e.g. a table, has no place in a Bundle: that is refused.
    """
    if response.pieces is not None or response.media_type != _JSON:
        response = answer.failed(NotAcceptable("The answer is no resource: it is given alone"))
    told: dict[str, Any] = {"status": str(response.status)}
    for header, name in _TOLD:
        if header in response.headers:
            told[name] = response.headers[header]
    if response.written:
        told["lastModified"] = instant(response.written)
    if (response.written or method == "DELETE") and response.body.startswith(_OUTCOME):
        told["outcome"] = parse(response.body)
        return told, b"", ""
    if response.status >= _REFUSED:
        told["outcome"] = parse(response.body)
        return told, b"", ""
    full_url = response.headers.get("Location", "").partition("/_history/")[0]
    return told, b"" if method == "HEAD" else response.body, full_url
