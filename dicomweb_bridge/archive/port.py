"""The archive port: where a study's instances live, whatever holds them (PS3.18 10.4-10.6).

Acknowledged means durable: when an instance comes out of `store`, a crash the instant after loses
nothing. The tenant is part of every call.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

from msgspec import Struct

from dicomweb_bridge.attributes import Attributes, Level

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence


class Failure(IntEnum):
    """Why an instance was not stored: Failure Reason (0008,1197), PS3.18 I.2.2 and PS3.4 B.2.3."""

    OUT_OF_RESOURCES = 0xA700
    TOO_LARGE = 0xA701
    OTHER_STUDY = 0xA900
    NOT_UNDERSTOOD = 0xC000
    INCOMPLETE = 0xC001
    OTHER_PATIENT = 0xC409
    TRANSFER_SYNTAX = 0xC122
    DUPLICATE = 0x0111


class Stored(Struct, frozen=True):
    """An instance that is durably stored; `created` is false for a resend of the same bytes."""

    study: str
    series: str
    instance: str
    sop_class: str
    sha256: str
    created: bool


class Refused(Struct, frozen=True):
    """An instance that was not stored, with the reason; the UIDs are "" where none could be read."""

    failure: Failure
    sop_class: str = ""
    instance: str = ""


class Instance(Struct, frozen=True):
    """A stored instance: its identity, encoding and size in bytes."""

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    sha256: str
    size: int


class Where(Struct, frozen=True):
    """A study, or one of its series, or one of its instances."""

    study: str
    series: str | None = None
    instance: str | None = None


class Match(Struct, frozen=True):
    """A key of a query: the attribute's keyword, and values of which one must match (PS3.4 C.2.2.2)."""

    keyword: str
    values: tuple[str, ...]


class Query(Struct, frozen=True):
    """A search at one level; `studies` limits it to those study UIDs, before the page is cut."""

    level: Level
    matches: tuple[Match, ...] = ()
    limit: int = 100
    offset: int = 0
    studies: frozenset[str] | None = None


class Record(Struct, frozen=True):
    """A found study, series or instance with the attributes of its level and those above."""

    where: Where
    attributes: Attributes


class SeriesContent(Struct, frozen=True):
    """A series with its attributes and its instances as (SOP Instance UID, SOP Class UID, number)."""

    uid: str
    attributes: Attributes
    instances: tuple[tuple[str, str, int | None], ...]


class StudyContent(Struct, frozen=True):
    """A whole study in the index; `changed` counts its changes, `described` is the last one told in FHIR."""

    uid: str
    attributes: Attributes
    series: tuple[SeriesContent, ...]
    changed: int
    described: int


Care = Literal["missing", "damaged", "unindexed"]


class Fault(Struct, frozen=True):
    """What `verify` found wrong with one stored file, told by its SHA-256."""

    tenant: str
    sha256: str
    kind: Care


class Archive(Protocol):
    """Holds instances and finds them."""

    def store(
        self,
        tenant: str,
        parts: AsyncIterable[AsyncIterable[bytes]],
        study: str | None = None,
    ) -> AsyncIterator[Stored | Refused]:
        """Store each part, one DICOM file, and give its outcome once that is durable, in their order.

        `study` refuses instances of other studies. What `parts` raises passes through; instances
        whose outcome was given before stay stored, the others are discarded.
        """

    async def find(self, tenant: str, query: Query) -> Sequence[Record]:
        """Give the page of studies, series or instances that match, newest study first."""

    async def study(self, tenant: str, uid: str) -> StudyContent | None:
        """Give all the index knows of a study, or None."""

    async def instances(self, tenant: str, where: Where) -> Sequence[Instance]:
        """Give the instances of a study, of a series or one, in series and instance number order."""

    def metadata(self, tenant: str, where: Where) -> AsyncIterator[bytes]:
        """Give each instance's DICOM JSON, with `dicom_json.BASE` where the base URL belongs."""

    async def open_file(self, tenant: str, instance: Instance) -> BinaryIO:
        """Open an instance's DICOM file for reading and seeking, in threads; the caller closes it."""

    async def undescribed(self) -> Sequence[tuple[str, str]]:
        """Give (tenant, study UID) of the studies that changed since they were described."""

    async def described(self, tenant: str, uid: str, changed: int) -> None:
        """Note that a study is described as it was at this count of changes."""

    async def delete(self, tenant: str, where: Where) -> int:
        """Remove instances for good and give how many."""

    async def verify(self) -> Sequence[Fault]:
        """Read everything and give what is missing, damaged or not indexed."""
