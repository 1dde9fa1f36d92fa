"""STOW-RS: a body to stored instances, outcomes to the Store Instances Response (PS3.18 10.5, Annex I)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dicomweb_bridge import multipart, qido
from dicomweb_bridge.archive.port import Failure, Refused, Stored, Where
from resources import outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from dicomweb_bridge.archive.port import Archive
    from dicomweb_bridge.attributes import Attributes
    from dicomweb_bridge.ingest import Ingest

NOT_DESCRIBED = 0xB101
"""Warning Reason of ours: stored durably, and its ImagingStudy follows when FHIR can be written again."""

_MOST_PARTS = 20_000


class Stowed(Struct, frozen=True):
    """What became of a request: outcomes, studies whose ImagingStudy is late, and why the body broke off."""

    outcomes: tuple[Stored | Refused, ...]
    late: frozenset[str]
    broken: str = ""


async def store(
    archive: Archive,
    ingest: Ingest,
    place: tuple[str, str | None],
    parts: AsyncIterable[AsyncIterable[bytes]],
) -> Stowed:
    """Store the parts for (tenant, study or None), and describe the studies touched before it returns."""
    tenant, study = place
    outcomes: list[Stored | Refused] = []
    late: set[str] = set()
    broken = ""
    try:
        async for one in archive.store(tenant, parts, study):
            outcomes.append(one)  # noqa: PERF401 - what came before a break must be kept
    except multipart.Malformed as fault:
        broken = str(fault)
    finally:
        for uid in {one.study for one in outcomes if isinstance(one, Stored)}:
            if not await ingest.describe(tenant, uid):
                late.add(uid)
    return Stowed(tuple(outcomes), frozenset(late), broken)


async def contents(
    content_type: str, body: AsyncIterator[bytes]
) -> AsyncIterator[AsyncIterable[bytes]]:
    """Give the DICOM files of a body, multipart or single."""
    parsed = multipart.media_type(content_type)
    if parsed.name == "application/dicom":
        yield body
        return
    count = 0
    async for part in multipart.parts(body, parsed.parameters.get("boundary", "")):
        count += 1
        if count > _MOST_PARTS:
            raise multipart.Malformed(f"more than {_MOST_PARTS} parts in one request")
        yield part


def require_dicom(content_type: str) -> None:
    """Raise UnsupportedMediaType unless the body is DICOM files, Invalid if its boundary is missing."""
    parsed = multipart.media_type(content_type)
    if parsed.name == "application/dicom":
        return
    inner = parsed.parameters.get("type", "application/dicom").lower()
    if parsed.name != "multipart/related" or inner != "application/dicom":
        raise outcome.UnsupportedMediaType(
            'Instances are stored as multipart/related; type="application/dicom"',
            accept='multipart/related; type="application/dicom", application/dicom',
        )
    if not parsed.parameters.get("boundary"):
        raise outcome.Invalid("The Content-Type lacks its boundary parameter")


async def limited(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Give a body's chunks, raising TooLarge past so many bytes."""
    taken = 0
    async for chunk in body:
        taken += len(chunk)
        if taken > limit:
            raise outcome.TooLarge("The request is larger than this server takes at once")
        yield chunk


def status(stowed: Stowed) -> int:
    """Give the HTTP status of a request's outcomes (PS3.18 table 10.5.3-1)."""
    stored = [one for one in stowed.outcomes if isinstance(one, Stored)]
    if stored:
        whole = len(stored) == len(stowed.outcomes) and not stowed.late and not stowed.broken
        return 200 if whole else 202
    if stowed.broken or not stowed.outcomes:
        return 400
    failures = {one.failure for one in stowed.outcomes if isinstance(one, Refused)}
    if failures == {Failure.TOO_LARGE}:
        return 413
    return 503 if failures == {Failure.OUT_OF_RESOURCES} else 409


def response(stowed: Stowed, address: str) -> Attributes:
    """Give the Store Instances Response Module (PS3.18 I.2), `address` being the service's URL."""
    stored = [one for one in stowed.outcomes if isinstance(one, Stored)]
    refused = [one for one in stowed.outcomes if isinstance(one, Refused)]
    named = [one for one in refused if one.instance]
    found: dict[str, Any] = {}
    studies = {one.study for one in stored}
    if len(studies) == 1:
        found["00081190"] = _url(address + qido.path(Where(*studies)))
    sequences = {
        "00081198": [{**_reference(one), **_reason("00081197", one.failure)} for one in named],
        "00081199": [_referenced(one, stowed.late, address) for one in stored],
        "0008119A": [_reason("00081197", one.failure) for one in refused if not one.instance],
    }
    if stowed.broken:
        sequences["0008119A"].append(_reason("00081197", Failure.INCOMPLETE))
    found.update({tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items})
    return found


def _referenced(one: Stored, late: frozenset[str], address: str) -> Attributes:
    where = Where(one.study, one.series, one.instance)
    warning = _reason("00081196", NOT_DESCRIBED) if one.study in late else {}
    return {**_reference(one), "00081190": _url(address + qido.path(where)), **warning}


def _reference(one: Stored | Refused) -> Attributes:
    found: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [one.instance]}}
    if one.sop_class:
        found["00081150"] = {"vr": "UI", "Value": [one.sop_class]}
    return dict(sorted(found.items()))


def _reason(tag: str, code: int) -> Attributes:
    return {tag: {"vr": "US", "Value": [int(code)]}}


def _url(address: str) -> Mapping[str, Any]:
    return {"vr": "UR", "Value": [address]}
