"""A FHIR request and response as plain values, whatever edge they came through (FHIR R4 http.html)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fhir_server.store.port import Version


@dataclass(frozen=True, slots=True)
class FhirRequest:
    """Method, path below the base without a leading slash, decoded query pairs, lower-case headers, body."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class FhirResponse:
    """Status, headers and a body (empty for none), or a file to be streamed; `media_type` is theirs.

    `seen` are the versions whose contents are told, where the interaction knows them: for the audit trail.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/fhir+json"
    file: Path | None = None
    seen: Sequence[Version] = ()
