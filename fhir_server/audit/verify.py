"""The proof of the journal: every file's chain, its successor, and what the store keeps of it agree."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from fhir_server.audit import chain
from fhir_server.audit.chain import SUFFIX, Broken, Place
from fhir_server.audit.following import NAMESPACE, Told
from fhir_server.audit.record import Header
from fhir_server.store.port import Documents
from fhir_server.tenancy import DEFAULT

_PIECE = 1 << 20


class Verified(Struct, frozen=True):
    """What was found: files and records that were looked at, and a sentence for each fault."""

    files: int
    records: int
    faults: tuple[str, ...]


class _Read(Struct):
    """One file as it was read: its lines, hashes by line number where the store keeps one, its ends."""

    header: Header | None = None
    place: Place = Place()
    anchored: bool = False
    torn: bool = False
    fault: str = ""


async def verify(folder: Path, key: bytes, documents: Documents, server: str) -> Verified:
    """Read every journal file of this server and compare it with what the store keeps."""
    anchors = await _anchors(documents, server)
    read = await asyncio.to_thread(_all, folder, key, anchors)
    faults = [*_faults(read, anchors)]
    return Verified(len(read), sum(one.place.lines for one in read.values()), tuple(faults))


def _all(folder: Path, key: bytes, anchors: Mapping[str, Told]) -> dict[str, _Read]:
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    return {path.stem: _file(path, key, anchors.get(path.stem)) for path in paths}


async def _anchors(documents: Documents, server: str) -> dict[str, Told]:
    """Give how far each file of this server was told."""
    found: dict[str, Told] = {}
    after = ""
    while page := await documents.list(DEFAULT, NAMESPACE, after=after):
        for document in page:
            told = msgspec.json.decode(document.value, type=Told)
            if told.server == server:
                found[document.key] = told
        after = page[-1].key
    return found


def _file(path: Path, key: bytes, anchor: Told | None) -> _Read:
    read = _Read(anchored=anchor is None or anchor.lines == 0)
    try:
        for place, content in _lines(path, key, read):
            if place.lines == 1:
                read.header = _header(content)
            if anchor is not None and place.lines == anchor.lines:
                read.anchored = place.digest.hex() == anchor.digest
            read.place = place
    except Broken as broken:
        read.fault = f"{path.stem}: {broken}"
    return read


def _lines(path: Path, key: bytes, read: _Read) -> Iterator[tuple[Place, bytes]]:
    rest, place = b"", Place()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            data = rest + piece
            for place, content in chain.lines(key, data, place):  # noqa: B020 - goes on from there
                yield place, content
            rest = data[data.rfind(b"\n") + 1 :]
    read.torn = bool(rest)


def _header(content: bytes) -> Header | None:
    try:
        return msgspec.json.decode(content, type=Header)
    except msgspec.DecodeError:
        return None


def _faults(read: Mapping[str, _Read], anchors: Mapping[str, Told]) -> Iterator[str]:
    """Give a sentence for each file that is broken, cut, swapped or gone."""
    for name, one in read.items():
        if one.fault:
            yield one.fault
        elif one.header is None or one.header.journal != name:
            yield f"{name}: the file does not begin as the one of this name"
        elif not one.anchored:
            yield f"{name}: lines are gone that were there when they were made searchable"
        elif one.header.previous in read:
            before = read[one.header.previous].place
            if before.digest.hex() != one.header.digest:
                yield f"{one.header.previous}: its end is not the one that {name} goes on from"
    for name in sorted(anchors.keys() - read.keys()):
        yield f"{name}: the file is gone"
