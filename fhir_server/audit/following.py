"""The journal's records made searchable: each becomes an AuditEvent, once, in the order of its file.

How far a file was told is kept in the store after each batch. After a crash the last batch is told again
under the same ids, which writes nothing.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from fhir_server.audit import chain
from fhir_server.audit.chain import SUFFIX, Broken, Place
from fhir_server.audit.event import MINUTE_MS, Accessed, accesses
from fhir_server.audit.record import Record
from fhir_server.store.port import Documents
from fhir_server.tenancy import DEFAULT

log = structlog.get_logger()

NAMESPACE = "audit.journals"
_PAUSE_S = 0.8
_SHARE = 2
_BATCH = 100
_PIECE = 1 << 18
_UID = "urn:oid:"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}(?:/_history/\d{1,9})?")


class Told(Struct, frozen=True):
    """How far a journal file of this server was told; `done` once its last line was."""

    server: str
    offset: int = 0
    lines: int = 0
    digest: str = chain.START.hex()
    done: bool = False


class Subjects(Protocol):
    """Finds whom resources are about."""

    async def patients(
        self, tenant: str, references: Iterable[str]
    ) -> Mapping[str, tuple[str, ...]]:
        """Give the logical ids of the patients in whose compartments resources are, or were."""

    async def studies(self, tenant: str, uids: Iterable[str]) -> Mapping[str, str]:
        """Give the references of the ImagingStudies that are here, by Study Instance UID (urn:oid:)."""


Tell = Callable[[str, Sequence[Accessed]], Awaitable[None]]
"""Stores the events of accesses in a tenant; those that are stored already change nothing."""
Watch = Callable[[Record, Sequence[str]], Awaitable[None]]
"""Is told of every access with the patients that it was about."""


async def unwatched(record: Record, patients: Sequence[str]) -> None:
    """Watch nothing."""
    del record, patients


class Following:
    """Follows the journal files in a folder, with the key of their chains, and tells their records.

    `server` is the name of the server whose they are.
    """

    def __init__(
        self,
        journals: tuple[Path, bytes],
        documents: Documents,
        subjects: Subjects,
        tell: Tell,
        server: str,
        watch: Watch = unwatched,
    ) -> None:
        self._folder, self._key = journals
        self._documents = documents
        self._subjects = subjects
        self._tell = tell
        self._watch = watch
        self._server = server
        self._known: dict[str, Told] = {}
        self._decoder = msgspec.json.Decoder(Record)
        self.broken: dict[str, int] = {}

    async def run(self) -> None:
        """Follow until cancelled; while there is much to tell, for a third of the time."""
        while True:
            begun = time.perf_counter()
            told = await self.once()
            spent = time.perf_counter() - begun
            await asyncio.sleep(_SHARE * spent if told >= _BATCH else _PAUSE_S)

    async def once(self) -> int:
        """Tell a batch of each file that has grown; gives the most that one of them had."""
        most = 0
        for path, size in await asyncio.to_thread(_files, self._folder):
            told = await self._place(path.stem)
            if size > told.offset and not told.done and path.stem not in self.broken:
                most = max(most, await self._file(path, told))
        return most

    async def _place(self, name: str) -> Told:
        if name not in self._known:
            found = await self._documents.get(DEFAULT, NAMESPACE, name)
            kept = msgspec.json.decode(found.value, type=Told) if found else Told(self._server)
            self._known[name] = kept
        return self._known[name]

    async def _file(self, path: Path, told: Told) -> int:
        read = await asyncio.to_thread(self._read, path, told)
        if read.broken:
            self.broken[path.stem] = read.broken
            log.error("audit journal broken", journal=path.stem, line=read.broken)
        count = await self._events(path.stem, read.numbered)
        place = read.place
        told = Told(self._server, place.offset, place.lines, place.digest.hex(), read.done)
        await self._documents.put(DEFAULT, NAMESPACE, path.stem, msgspec.json.encode(told))
        self._known[path.stem] = told
        return count

    def _read(self, path: Path, told: Told) -> "_Read":
        """Read a batch of records from where a file was told; off the event loop."""
        read = _Read(Place(told.offset, told.lines, bytes.fromhex(told.digest)))
        accesses = 0
        try:
            for place, content in chain.lines(self._key, _piece(path, told.offset), read.place):
                read.place = place
                if content[:1] == b"[":
                    record = self._decoder.decode(content)
                    read.numbered.append((place.lines, record))
                    accesses += max(1, len(record.written))
                else:
                    read.done = b'"closed"' in content[:10]
                if accesses >= _BATCH:
                    break
        except Broken as broken:
            read.broken = broken.line
        return read

    async def _events(self, name: str, numbered: Sequence[tuple[int, Record]]) -> int:
        """Tell the accesses of records, a batch in a commit; gives how many there were."""
        found: dict[str, dict[str, Record]] = {}
        count = 0
        for number, record in numbered:
            several = accesses(record)
            count += len(several)
            for part, access in enumerate(several):
                id_ = f"{name}-{number}" + (f"-{part}" if len(several) > 1 else "")
                found.setdefault(access.tenant or DEFAULT, {}).setdefault(
                    _name(access, id_), access
                )
        for tenant, named in found.items():
            told = list(named.items())
            for start in range(0, len(told), _BATCH):
                some = told[start : start + _BATCH]
                await self._tell(tenant, await self._accessed(tenant, some))
        return count

    async def _accessed(
        self, tenant: str, named: Sequence[tuple[str, Record]]
    ) -> Sequence[Accessed]:
        """Find out whom accesses were about, and let them be watched."""
        uids = {uid for _, record in named for uid in record.what if uid.startswith(_UID)}
        studies = await self._subjects.studies(tenant, uids) if uids else {}
        found = [(id_, record, _references(record, studies)) for id_, record in named]
        asked = (r for _, record, held in found if record.status < 400 for r in held)
        patients = await self._subjects.patients(tenant, dict.fromkeys(asked))
        told = []
        for id_, record, references in found:
            about: dict[str, None] = {}
            for reference in references if record.status < 400 else ():
                about |= dict.fromkeys(patients.get(reference, ()))
            await self._watch(record, tuple(about))
            told.append(Accessed(id_, record, _entities(record, references), tuple(about)))
        return told


class _Read(Struct):
    """What was read of a file: records by line, the place after them, and the line that is broken if any."""

    place: Place
    numbered: list[tuple[int, Record]] = []
    done: bool = False
    broken: int = 0


def _references(record: Record, studies: Mapping[str, str]) -> list[str]:
    """Give what a record names that is a reference; a study that is here by its own, another by its UID."""
    references = [one for one in record.what if _REFERENCE.fullmatch(one)]
    return references + [studies.get(one, one) for one in record.what if one.startswith(_UID)]


def _entities(record: Record, references: Sequence[str]) -> tuple[str, ...]:
    """Give the references that an event names beside its patients: of a search's page only studies."""
    if record.act.startswith("search") or record.act == "operation":
        return tuple(dict.fromkeys(r for r in references if r.startswith("ImagingStudy/")))
    return tuple(dict.fromkeys(references))


def _name(record: Record, otherwise: str) -> str:
    """Give the id of a record's event: the frames that a caller has of a study in one minute share theirs."""
    if record.act != "frames" or record.status >= 400:
        return otherwise
    who = (record.tenant, record.subject, record.client, record.user, record.purpose)
    text = repr((who, record.what, record.time // MINUTE_MS))
    return f"frames-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Give the journal files, oldest first, and their sizes."""
    return [(path, path.stat().st_size) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _piece(path: Path, offset: int) -> bytes:
    """Give a piece of a file, of whole lines but perhaps for the last."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(_PIECE)
        while data and b"\n" not in data and (more := file.read(_PIECE)):
            data += more  # one line that is longer than a piece
    return data
