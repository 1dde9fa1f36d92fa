"""What If-Match, If-None-Match and If-Unmodified-Since ask of a write (R4 http.html, RFC 9110 13.1)."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from fhir_server.interactions import http_dates
from fhir_server.interactions.racing import Overtaken
from fhir_server.message import FhirRequest
from fhir_server.store.port import Key, Precondition, Version, VersionConflict, VersionIs
from resources.outcome import Invalid, PreconditionFailed

_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
_ETAGS = re.compile(r'(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*')
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ANY = "*"
_SECOND = 1_000
_OF_STATE = ("if-match", "if-none-match", "if-unmodified-since")
_MISPLACED = MappingProxyType(
    {
        "if-match": "If-Match is for what is there already: a POST takes If-None-Exist",
        "if-none-match": "If-None-Match is for a place that is named: a POST takes If-None-Exist",
        "if-none-exist": "If-None-Exist is for a POST that creates: others take criteria in their URL",
    }
)
_MISPLACED_ON: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "POST": ("if-match", "if-none-match"),
        "PUT": ("if-none-exist",),
        "PATCH": ("if-none-exist",),
        "DELETE": ("if-none-exist",),
    }
)
"""The conditions that each method does not take."""


def expected(request: FhirRequest, existing: Version | None) -> int | None:
    """Give the version id that If-Match (RFC 9110 13.1.1) wants to be the current one, or None.

    Of several the one that exists is meant; `*` is any that exists. Raises Invalid for what is no list of
    ETags, PreconditionFailed where none of them can be the current version.
    """
    text = request.headers.get("if-match")
    if text is None:
        return None
    current = _current(existing)
    if text.strip() == _ANY:
        if current is None:
            raise PreconditionFailed("If-Match: * needs a resource, and there is none now")
        return None
    tags = _tags("If-Match", text)
    wanted = [int(tag) for tag in tags if _VERSION.fullmatch(tag)]
    if len(wanted) == 1:
        return wanted[0]
    if existing is None or current not in wanted:
        raise _stale(current)
    return current


def absent(request: FhirRequest, key: Key, existing: Version | None) -> tuple[Precondition, ...]:
    """Give what If-None-Match (RFC 9110 13.1.2) asks of a write: with `*`, that nothing is there yet.

    Raises PreconditionFailed where it does not hold, Invalid for what is no list of ETags.
    """
    text = request.headers.get("if-none-match")
    if text is None:
        return ()
    current = _current(existing)
    if text.strip() == _ANY:
        if current is not None:
            raise _occupied(current)
        return (VersionIs(key, None),)
    if str(current) in _tags("If-None-Match", text):
        raise PreconditionFailed(f"If-None-Match names the current version, {current}")
    return ()


def demanded(request: FhirRequest, key: Key, existing: Version | None) -> tuple[Precondition, ...]:
    """Give what the conditions of a write to a key ask for, to hold within its commit.

    What is said of more than one version was judged on this one, which must stay. Raises as `expected`,
    `absent` and `refuse_modified` do.
    """
    wanted = expected(request, existing)
    guards = absent(request, key, existing)
    refuse_modified(request, existing)
    if wanted is not None:
        return (*guards, VersionIs(key, wanted))
    judged = any(header in request.headers for header in _OF_STATE)
    return (VersionIs(key, _current(existing)),) if judged and not guards else guards


def refuse_modified(request: FhirRequest, existing: Version | None) -> None:
    """Refuse what was changed after If-Unmodified-Since (RFC 9110 13.1.4); raises PreconditionFailed.

    Beside If-Match, and of what is not there, it asks nothing, nor where it is no date.
    """
    text = request.headers.get("if-unmodified-since")
    if text is None or existing is None or "if-match" in request.headers:
        return
    moment = http_dates.moment(text)
    if moment is not None and existing.body is not None and existing.updated // _SECOND > moment:
        raise PreconditionFailed(
            f"It was changed after If-Unmodified-Since: version {existing.version_id} is current"
        )


def refuse_nothing(request: FhirRequest) -> None:
    """Judge the conditions of a write that finds nothing: If-Match cannot hold; raises PreconditionFailed.

    Raises Invalid for what is no list of ETags.
    """
    if expected(request, None) is not None:
        raise _stale(None)
    text = request.headers.get("if-none-match", _ANY)
    if text.strip() != _ANY:
        _tags("If-None-Match", text)


def refuse_misplaced(request: FhirRequest) -> None:
    """Refuse a condition that the method does not take, which would else go unheard; raises Invalid."""
    for header in _MISPLACED_ON.get(request.method, ()):
        if header in request.headers:
            raise Invalid(_MISPLACED[header], issue="not-supported")


def lost(request: FhirRequest, conflict: VersionConflict) -> PreconditionFailed | Overtaken:
    """Give what a write raises whose version was not there within its commit.

    Where If-Match names a version that is lost for good; anything else is judged again on what is there now.
    """
    named = request.headers.get("if-match", _ANY).strip() != _ANY
    return stale(conflict) if named else Overtaken()


def stale(conflict: VersionConflict) -> PreconditionFailed:
    """Give the refusal of a version-aware write whose version is not the current one."""
    return _stale(conflict.current)


def _stale(current: int | None) -> PreconditionFailed:
    now = f"version {current} is current" if current else "there is none now"
    return PreconditionFailed(f"If-Match names another version: {now}")


def _occupied(current: int | None) -> PreconditionFailed:
    return PreconditionFailed(f"If-None-Match: * needs that nothing is there: version {current} is")


def _current(existing: Version | None) -> int | None:
    return None if existing is None or existing.body is None else existing.version_id


def _tags(header: str, text: str) -> list[str]:
    if not _ETAGS.fullmatch(text.strip()):
        raise Invalid(f'{header} is written W/"versionId"')
    return _ETAG.findall(text)
