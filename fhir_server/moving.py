"""Every version of every tenant as NDJSON lines and back: from one store to another (docs/care.md)."""

import asyncio
import gzip
import os
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from fhir_server import tenancy
from fhir_server.search.values import no_values
from fhir_server.store.port import Extract, Key, Method, Past, Store, Version, instant
from resources import datatypes, definitions
from resources.outcome import FhirError

FILE: Final = "history.ndjson"
_GROUP: Final = 1000
_GROUP_BYTES: Final = 8 * 1024 * 1024
_FORM: Final = (
    "it lacks what export --history writes: tenant, type, id, versionId, lastUpdated, method"
)
_NOTHING: Final = msgspec.Raw(b"null")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One version; `resource` is its JSON as it was stored, null for a deletion."""

    tenant: str
    type: str
    id: str
    version_id: str
    last_updated: str
    method: Method
    resource: msgspec.Raw = _NOTHING


class Unreadable(Exception):
    """A line is not one that an export with history wrote; the sentence says which."""


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    """What a resource says that it is."""

    resource_type: str
    id: str


class _Wrong(Exception):
    """What is wrong with a line, in words that tell nothing of what it holds."""


Import = Callable[[Sequence[Past]], Awaitable[int]]
"""Takes over versions, and gives how many were new."""


async def export(store: Store, folder: Path) -> AsyncIterator[int]:
    """Write every version up to now into a file of the folder; gives how many so far, then all."""
    part, done = folder / f"{FILE}.part", 0
    with part.open("wb") as file:
        async for group in _groups(store):
            await asyncio.to_thread(file.write, b"".join(_line(version) for version in group))
            done += len(group)
            yield done
        await asyncio.to_thread(_sync, file)
    part.replace(folder / FILE)
    yield done


async def _groups(store: Store) -> AsyncIterator[list[Version]]:
    last, group = await store.position(), list[Version]()
    if not last:
        return
    async for version in store.changes(0):
        group.append(version)
        if len(group) == _GROUP or version.position >= last:
            yield group
            group = []
        if version.position >= last:
            return


def _line(version: Version) -> bytes:
    key, body = version.key, version.body
    line = Line(
        key.tenant,
        key.type,
        key.id,
        str(version.version_id),
        instant(version.updated),
        version.method,
        _NOTHING if body is None else msgspec.Raw(body),
    )
    return msgspec.json.encode(line) + b"\n"


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


async def load(
    path: Path, take: Import, extract: Extract, tenant: Callable[[str], Awaitable[None]]
) -> AsyncIterator[tuple[int, int]]:
    """Take over a file's versions; gives how many were read and were new so far.

    `tenant` is told each tenant before its first version. Raises Unreadable, and what `take` raises; what was
    taken over before stays, and running it again goes on from there.
    """
    read = new = 0
    known: set[str] = set()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for group in _read(_lines(file), extract):
            for name in {past.key.tenant for past in group} - known:
                await tenant(name)
                known.add(name)
            new += await take(group)
            read += len(group)
            yield read, new


def _read(lines: Iterable[bytes], extract: Extract) -> Iterator[list[Past]]:
    group, size = list[Past](), 0
    for number, line in enumerate(lines, 1):
        try:
            group.append(_past(line, extract))
        except _Wrong as fault:
            raise Unreadable(f"line {number} is no version: {fault}") from None
        size += len(line)
        if len(group) == _GROUP or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    """Give the lines of a file; raises Unreadable where a .gz is cut short or damaged."""
    try:
        yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise Unreadable(f"the file cannot be read to its end: {type(fault).__name__}") from None


def _past(line: bytes, extract: Extract) -> Past:
    """Read a line; raises _Wrong."""
    told = _told(line)
    key, text = Key(told.tenant, told.type, told.id), bytes(told.resource)
    body = None if text == b"null" else text
    try:
        _refuse(told, body)
        updated = datatypes.interval(told.last_updated)[0]
        values = no_values() if body is None else extract(key, body)
    except (FhirError, msgspec.MsgspecError, UnicodeDecodeError):
        raise _Wrong("its resource is none") from None
    except (ValueError, OverflowError):
        raise _Wrong("lastUpdated is no instant") from None
    return Past(key, int(told.version_id), updated, told.method, body, values)


def _told(line: bytes) -> Line:
    """Read a line but for its resource; raises _Wrong in our words, as others' may hold what it does."""
    try:
        return msgspec.json.decode(line, type=Line)
    except msgspec.ValidationError:
        raise _Wrong(_FORM) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _Wrong("it is not JSON, or not to its end") from None


def _refuse(told: Line, body: bytes | None) -> None:
    """Refuse what no store of ours could have held; raises _Wrong."""
    known = told.type in definitions.load().resource_types
    wrong = {
        "tenant is no name of one": not tenancy.well_formed(told.tenant),
        "type is none of R4's": not known,
        "id is none": not _ID.fullmatch(told.id),
        "versionId is no number from 1": not _NUMBER.fullmatch(told.version_id),
        "lastUpdated is no instant": not _INSTANT.fullmatch(told.last_updated),
        "a deletion has no resource, anything else has one": (body is None)
        != (told.method == "DELETE"),
    }
    if found := next((sentence for sentence, is_so in wrong.items() if is_so), ""):
        raise _Wrong(found)
    if body is not None and msgspec.json.decode(body, type=_Named) != _Named(told.type, told.id):
        raise _Wrong("type and id are not the resource's")
