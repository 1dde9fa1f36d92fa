"""Every version of every tenant as NDJSON lines and back: from one store to another (docs/care.md)."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from fhir_server.search.values import no_values
from fhir_server.store.port import Extract, Key, Method, Past, Store, Version, instant
from resources import datatypes

FILE: Final = "history.ndjson"
_GROUP: Final = 1000
_GROUP_BYTES: Final = 8 * 1024 * 1024
_NOTHING: Final = msgspec.Raw(b"null")


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
        for group in _read(file, extract):
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
        except (msgspec.MsgspecError, ValueError) as fault:
            raise Unreadable(f"line {number} is no version: {type(fault).__name__}") from None
        size += len(line)
        if len(group) == _GROUP or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _past(line: bytes, extract: Extract) -> Past:
    told = msgspec.json.decode(line, type=Line)
    key, text = Key(told.tenant, told.type, told.id), bytes(told.resource)
    body = None if text == b"null" else text
    updated = datatypes.interval(told.last_updated)[0]
    values = no_values() if body is None else extract(key, body)
    if (body is None) != (told.method == "DELETE"):
        raise ValueError("a deletion has no resource, anything else has one")
    return Past(key, int(told.version_id), updated, told.method, body, values)
