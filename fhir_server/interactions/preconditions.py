"""What If-Match and If-None-Match ask of a write (FHIR R4 http.html#concurrency, RFC 9110 13.1)."""

import re

from fhir_server.message import FhirRequest
from fhir_server.store.port import Key, Precondition, Version, VersionConflict, VersionIs
from resources.outcome import Invalid, PreconditionFailed

_ETAG = re.compile(r'(?:W/)?"([^"]*)"')
_ETAGS = re.compile(r'(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*')
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ANY = "*"


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
            raise occupied(current)
        return (VersionIs(key, None),)
    if str(current) in _tags("If-None-Match", text):
        raise PreconditionFailed(f"If-None-Match names the current version, {current}")
    return ()


def stale(conflict: VersionConflict) -> PreconditionFailed:
    """Give the refusal of a version-aware write whose version is not the current one."""
    return _stale(conflict.current)


def _stale(current: int | None) -> PreconditionFailed:
    now = f"version {current} is current" if current else "there is none now"
    return PreconditionFailed(f"If-Match names another version: {now}")


def occupied(current: int | None) -> PreconditionFailed:
    """Give the refusal of a write that was to find nothing."""
    return PreconditionFailed(f"If-None-Match: * needs that nothing is there: version {current} is")


def _current(existing: Version | None) -> int | None:
    return None if existing is None or existing.body is None else existing.version_id


def _tags(header: str, text: str) -> list[str]:
    if not _ETAGS.fullmatch(text.strip()):
        raise Invalid(f'{header} is written W/"versionId"')
    return _ETAG.findall(text)
