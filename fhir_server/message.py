"""A FHIR request and response as plain values, whatever edge they came through (FHIR R4 http.html)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import Struct, field

from fhir_server.store.port import Brought, Version


class FhirRequest(Struct, frozen=True):
    """Method, path below the base without a leading slash, decoded query pairs, lower-case headers, body.

    `brought` is a large content that the body, a Binary, is to have; it waits in a file.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    brought: Brought | None = None


class Pieces(Struct, frozen=True):
    """A body that is read as it is sent: its size in bytes, and what begins to read it."""

    size: int
    read: Callable[[], AsyncIterator[bytes]]


class FhirResponse(Struct, frozen=True):
    """Status, headers and a body (empty for none), or pieces to be streamed; `media_type` is theirs.

    `seen` are the versions whose contents are told, where the interaction knows them: for the audit trail.
    `written` is when the version that a write made was stored, in milliseconds since the epoch; 0 for none.
    `changed` are method and reference of what was deleted, or of each entry that a transaction wrote: for the
    trail too.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/fhir+json"
    pieces: Pieces | None = None
    seen: Sequence[Version] = ()
    written: int = 0
    changed: tuple[tuple[str, str], ...] = ()
