"""What an interaction answers: status, ETag, Last-Modified, Location, body by Prefer (FHIR R4 http.html)."""

import functools
import re
from collections.abc import Collection, Mapping
from email.utils import formatdate

from fhir_server.context import Context
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store import marks
from fhir_server.store.port import Key, Version
from resources.model import Resource, parse, serialise
from resources.outcome import (
    FhirError,
    Issue,
    MethodNotAllowed,
    NotSupported,
    UnsupportedMediaType,
    operation_outcome,
)

_RETURNS = frozenset({"minimal", "representation", "OperationOutcome"})
_PREFERENCE = re.compile(r'(?:[^,;"]|"(?:[^"\\]|\\.)*(?:"|$))+')
_QUOTED_PAIR = re.compile(r"\\(.)")
_HANDLINGS = frozenset({"strict", "lenient"})
RESPOND_ASYNC = "respond-async"
SECOND = 1_000


def preferences(request: FhirRequest) -> dict[str, str]:
    """Parse Prefer (RFC 7240), the first of each; raises NotSupported for a value that FHIR does not name."""
    found: dict[str, str] = {}
    if "prefer" not in request.headers:
        return found
    for part in _PREFERENCE.findall(request.headers["prefer"]):
        name, _, value = part.strip().partition("=")
        if name:
            found.setdefault(name.strip().lower(), _word(value.strip()))
    for name, allowed in (("return", _RETURNS), ("handling", _HANDLINGS)):
        if name in found and found[name] not in allowed:
            raise NotSupported(f"Prefer: {name} takes one of {', '.join(sorted(allowed))}")
    return found


def _word(value: str) -> str:
    """Give the text of a token or of a quoted string (RFC 9110 5.6.4)."""
    return _QUOTED_PAIR.sub(r"\1", value[1:-1]) if value[:1] == value[-1:] == '"' else value


def later(request: FhirRequest) -> bool:
    """Tell whether the caller would rather be answered later (FHIR R4 async.html)."""
    return "prefer" in request.headers and RESPOND_ASYNC in preferences(request)


def wishes(request: FhirRequest) -> dict[str, str]:
    """Give the header by which the entries of a Bundle prefer what their Bundle does; empty without one."""
    if "prefer" not in request.headers:
        return {}
    asked = preferences(request)
    told = [f"{name}={asked[name]}" for name in ("return", "handling") if name in asked]
    return {"prefer": ", ".join(told)} if told else {}


def lenient(context: Context, request: FhirRequest) -> bool:
    """Tell whether unknown parameters are ignored: by Prefer, else by the installation's setting."""
    handling = preferences(request).get("handling")
    return context.services.policy.lenient if handling is None else handling == "lenient"


RENDERING = frozenset({"_format", "_pretty"})


def only(context: Context, request: FhirRequest, allowed: Collection[str] = ()) -> None:
    """Refuse query parameters that an interaction does not take, unless handling is lenient."""
    unknown = [n for n, _ in request.query if n not in RENDERING and n not in allowed]
    if unknown and not lenient(context, request):
        raise NotSupported("This interaction takes no such parameter: " + _harmless(unknown[0]))


def _harmless(name: str) -> str:
    """Give a parameter's name if it looks like one; what a client mistook for one may be a value."""
    return (
        name
        if name.replace("-", "").replace("_", "").isalnum() and len(name) < 40
        else "(unreadable)"
    )


def validators(version: Version) -> dict[str, str]:
    """Give ETag and Last-Modified of a version."""
    return {
        "ETag": f'W/"{version.version_id}"',
        "Last-Modified": _http_date(version.updated // SECOND),
    }


@functools.lru_cache(4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def location(context: Context, version: Version) -> str:
    """Give the versioned URL of a stored version."""
    return f"{context.base}/{version.key.reference}/_history/{version.version_id}"


def stored(context: Context, request: FhirRequest, version: Version, status: int) -> FhirResponse:
    """Answer a write, with the body that Prefer asks for (the representation by default)."""
    headers = {**validators(version), "Location": location(context, version)}
    match preferences(request).get("return"):
        case "minimal":
            body = b""
        case "OperationOutcome":
            body = serialise(_outcome(context, version))
        case _:
            body = version.body or b""
    return FhirResponse(status, body, headers, written=version.updated)


def _outcome(context: Context, version: Version) -> Resource:
    """Tell that a version was stored, and what there is to say of it that was no reason to refuse it."""
    told = Issue("information", "informational", f"Stored as version {version.version_id}")
    if version.body is None:
        return operation_outcome((told,))
    resource, profiles = parse(version.body), context.services.profiles
    if marks.of(version.key.type, version.body):
        del resource["data"]  # it lies beside the resource, and was looked at as it came
    found = context.services.validator.check(resource)
    by_profile = profiles.told(context, resource) if profiles is not None else ()
    return operation_outcome((told, *found, *by_profile))


def failed(error: FhirError) -> FhirResponse:
    """Answer an error with its OperationOutcome."""
    headers: Mapping[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers = {"Allow": error.allow}
    elif isinstance(error, UnsupportedMediaType):
        headers = error.reads
    return FhirResponse(error.status, serialise(operation_outcome(error.issues)), headers)


def key(context: Context, type_: str, id_: str) -> Key:
    """Give the key of a resource in the caller's tenant."""
    return Key(context.tenant, type_, id_)
