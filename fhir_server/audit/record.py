"""One access, as the journal keeps it: who did what to which resources, when, and with what outcome."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

Door = Literal["fhir", "dicom-web", "auth", "mllp", "jobs", "command"]


class Record(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """An access; `time` in milliseconds since 1970 UTC, `status` as HTTP has it.

    `what` are versioned references of what was returned or written, or Study Instance UIDs (urn:oid:);
    `query` what was asked for, `note` a word more. `written` are (method, reference) of what a transaction
    wrote, or of several that one delete removed; (DELETE, Type?criteria) is one that found nothing.
    `purpose` is the reason that a caller gave for breaking the glass.
    """

    time: int
    tenant: str
    door: Door
    act: str
    status: int
    subject: str = ""
    client: str = ""
    user: str = ""
    address: str = ""
    request: str = ""
    path: str = ""
    what: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    note: str = ""
    written: tuple[tuple[str, str], ...] = ()
    purpose: str = ""


class Header(msgspec.Struct, frozen=True):
    """The first line of a journal file: its own name, and name and last hash of the file before it."""

    journal: str
    previous: str = ""
    digest: str = ""


class End(msgspec.Struct, frozen=True):
    """The last line of a journal file that was closed in order."""

    closed: int


ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "create": "C",
        "read": "R",
        "vread": "R",
        "history-instance": "R",
        "history-type": "R",
        "history-system": "R",
        "update": "U",
        "patch": "U",
        "delete": "D",
        "purge": "D",
        "frames": "R",
        "store": "C",
        "export-file": "R",
        "sweep": "D",
    }
)
"""AuditEvent.action by act (C, R, U, D); every other act is E, executed."""
