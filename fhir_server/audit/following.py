"""The journal's records made searchable: each becomes an AuditEvent, once, in the order of its file.

How far a file was told is kept in the store after each batch. After a crash the last batch is told again
under the same ids, which writes nothing.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from fhir_server.audit import chain
from fhir_server.audit.chain import SUFFIX, Broken, Place
from fhir_server.audit.event import MINUTE_MS, accesses, event
from fhir_server.audit.record import Record
from fhir_server.store.port import Documents
from fhir_server.tenancy import DEFAULT
from resources.model import Resource

log = structlog.get_logger()

NAMESPACE = "audit.journals"
_PAUSE_S = 0.4
_SHARE = 2
_BATCH = 40
_PIECE = 1 << 18
_UID = "urn:oid:"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}(?:/_history/\d{1,9})?")
_TOLD = re.compile(r"(?:Patient|ImagingStudy)/.+")


class Told(Struct, frozen=True):
    """How far a journal file of this server was told; `done` once its last line was."""

    server: str
    offset: int = 0
    lines: int = 0
    digest: str = chain.START.hex()
    done: bool = False


class Subjects(Protocol):
    """Finds whom resources are about."""

    async def patients(self, tenant: str, reference: str) -> tuple[str, ...]:
        """Give the logical ids of the patients in whose compartments a resource is, or was."""

    async def study(self, tenant: str, uid: str) -> tuple[str, ...]:
        """Give the reference of the ImagingStudy with a Study Instance UID; none where there is none."""


Tell = Callable[[str, Sequence[Resource]], Awaitable[None]]
"""Stores AuditEvents of a tenant; those that are stored already change nothing."""
Watch = Callable[[Record, Sequence[str]], Awaitable[None]]
"""Is told of every access with the patients that it was about."""


async def unwatched(record: Record, patients: Sequence[str]) -> None:
    """Watch nothing."""
    del record, patients


class Following:
    """Follows the journal files in a folder, with the key of their chains, and tells their records.

    `place` is the name of the server whose they are, and its address for the events.
    """

    def __init__(
        self,
        journals: tuple[Path, bytes],
        documents: Documents,
        subjects: Subjects,
        tell: Tell,
        place: tuple[str, str],
        watch: Watch = unwatched,
    ) -> None:
        self._folder, self._key = journals
        self._documents = documents
        self._subjects = subjects
        self._tell = tell
        self._watch = watch
        self._server, self._address = place
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
        data = await asyncio.to_thread(_read, path, told.offset)
        place = Place(told.offset, told.lines, bytes.fromhex(told.digest))
        numbered: list[tuple[int, Record]] = []
        done = False
        try:
            for after, content in chain.lines(self._key, data, place):
                place = after
                if content[:1] == b"[":
                    numbered.append((place.lines, self._decoder.decode(content)))
                else:
                    done = b'"closed"' in content[:10]
                if len(numbered) >= _BATCH:
                    break
        except Broken as broken:
            self.broken[path.stem] = broken.line
            log.error(  # noqa: TRY400 - the line says it all
                "audit journal broken", journal=path.stem, line=broken.line
            )
        await self._events(path.stem, numbered)
        told = Told(self._server, place.offset, place.lines, place.digest.hex(), done)
        await self._documents.put(DEFAULT, NAMESPACE, path.stem, msgspec.json.encode(told))
        self._known[path.stem] = told
        return len(numbered)

    async def _events(self, name: str, numbered: Sequence[tuple[int, Record]]) -> None:
        found: dict[str, dict[str, Resource]] = {}
        for number, record in numbered:
            several = accesses(record)
            for part, access in enumerate(several):
                id_ = f"{name}-{number}" + (f"-{part}" if len(several) > 1 else "")
                id_ = _name(access, id_)
                held = found.setdefault(access.tenant or DEFAULT, {})
                if id_ not in held:
                    held[id_] = await self._event(access, id_)
        for tenant, events in found.items():
            await self._tell(tenant, tuple(events.values()))

    async def _event(self, record: Record, id_: str) -> Resource:
        references = [one for one in record.what if _REFERENCE.fullmatch(one)]
        for uid in (one for one in record.what if one.startswith(_UID)):
            study = await self._subjects.study(record.tenant, uid)
            references += study or (uid,)
        patients: dict[str, None] = {}
        for reference in references if record.status < 400 else ():
            patients |= dict.fromkeys(await self._subjects.patients(record.tenant, reference))
        await self._watch(record, tuple(patients))
        searched = record.act.startswith("search") or record.act == "operation"
        shown = [r for r in references if not searched or _TOLD.fullmatch(r)]
        data = [r for r in shown if not (searched and r.startswith("Patient/"))]
        return event(record, id_, tuple(dict.fromkeys(data)), tuple(patients), self._address)


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


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(_PIECE)
        while data and b"\n" not in data and (more := file.read(_PIECE)):
            data += more  # one line that is longer than a piece
    return data
