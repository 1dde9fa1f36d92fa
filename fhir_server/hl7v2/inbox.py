"""Where messages are taken: kept before they are read, committed before they are acknowledged.

A message is known by its sender, control id and body. One that was accepted is answered as before and
changes nothing; one that was not is tried again. Its Provenance is in its transaction, so a message that
was committed is known to be even if the process died before it could say so.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

import structlog

from fhir_server.hl7v2 import acknowledge, repair, translation
from fhir_server.hl7v2.coverage import Gap
from fhir_server.hl7v2.door import Door
from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.record import Record, Records
from fhir_server.hl7v2.refusal import DuplicateKey, NotCommitted, Refusal, UnknownKey
from fhir_server.hl7v2.segments import provenance
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.hl7v2.transaction import stable_id
from fhir_server.hl7v2.translation import Translation
from fhir_server.store.port import Documents, StoreUnavailable
from fhir_server.tenancy import DEFAULT
from resources.model import Resource
from resources.outcome import Conflict, FhirError, NotFound, PreconditionFailed, Unavailable

_log = structlog.get_logger()
_ROUNDS = 5
_KINDS = frozenset({"200", "201"})  # of table 0357: refused for its type, not for what it says
_SAME_CONTROL_ID = "another message of this sender had this control id; both are taken"


class Origin(Protocol):
    """The other end of a connection."""

    @property
    def host(self) -> str:
        """Give its address."""


@dataclass(slots=True)
class _Receipt:
    """A message on its way through the inbox, as far as it has come."""

    raw: bytes
    peer: str
    at: int
    key: str = ""
    message: Message | None = None
    record: Record | None = None


class _Failure(NamedTuple):
    """What the sender is told of a failure, and what only the inbox keeps of it."""

    refusal: Refusal
    detail: str = ""


def _now() -> int:
    return time.time_ns() // 1_000_000


class Inbox:
    """Takes messages of configured senders and commits what they say through the door.

    `counts` holds the number of answers by message type and code, `unmapped` that of unmapped places.
    """

    def __init__(
        self,
        documents: Documents,
        door: Door,
        senders: Senders | None = None,
        *,
        clock: Callable[[], int] = _now,
    ) -> None:
        self.records = Records(documents)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.unmapped: Counter[tuple[str, str]] = Counter()
        self._door = door
        self._senders = senders or Senders()
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._gaps: dict[tuple[str, str], tuple[str, ...]] = {}

    async def receive(self, raw: bytes, peer: Origin) -> bytes:
        """Take a message and give its ACK: positive after the commit, negative if nothing was written."""
        receipt = _Receipt(raw, peer.host, self._clock())
        ack, failure = await self._guarded(receipt, self._take(receipt))
        if failure is None:
            return ack or b""
        _, untold = await self._guarded(receipt, self._refused(receipt, failure))
        if untold is not None:
            _log.warning("refusal not kept", key=receipt.key, code=untold.refusal.code)
        return self._negative(receipt, failure.refusal)

    async def _guarded(
        self, receipt: _Receipt, work: Awaitable[bytes | None]
    ) -> tuple[bytes | None, _Failure | None]:
        """Give what the work gives, or how it failed; only cancelling passes."""
        try:
            return await work, None
        except Refusal as refusal:
            return None, _Failure(refusal)
        except FhirError as fault:
            return None, _Failure(_refusal(fault), "; ".join(_diagnostics(fault)))
        except StoreUnavailable:
            return None, _Failure(NotCommitted("The store cannot be reached now"))
        except Exception as fault:  # noqa: BLE001 - the MLLP edge: the sender is told, the message is kept
            _log.error("message failed", key=receipt.key, exc_info=fault)
            failed = NotCommitted("The server failed; the message is kept")
            return None, _Failure(failed, type(fault).__name__)

    async def replay(self, tenant: str, key: str) -> bytes:
        """Take a kept message again, e.g. after a map was added; raises KeyError if there is none."""
        record = await self.records.get(tenant, key)
        if record is None:
            raise KeyError(key)
        return await self.receive(record.raw, _Kept(record.peer))

    async def _take(self, receipt: _Receipt) -> bytes:
        """Keep, read, commit, acknowledge; raises Refusal, FhirError."""
        message, found = translation.read(receipt.raw, self._senders)
        receipt.message = message
        receipt.key = translation.message_key(message)
        tenant = found.tenant if found else DEFAULT
        async with self._locks.setdefault(f"{tenant}/{receipt.key}", asyncio.Lock()):
            record = await self._kept(receipt, message, tenant)
            if record.state != "accepted":
                await self._commit(receipt, message, found, record)
            self.counts[record.title, "AA"] += 1
            return acknowledge.acknowledge(message, _answer_id(receipt.key, "A"), record.received)

    async def _kept(self, receipt: _Receipt, message: Message, tenant: str) -> Record:
        """Give the record of a message, kept durably before anything is done with it."""
        record = await self.records.get(tenant, receipt.key)
        if record is None:
            record = Record(
                raw=receipt.raw,
                received=receipt.at,
                peer=receipt.peer,
                tenant=tenant,
                origin="|".join((message.sender(3), message.sender(4))),
                title=translation.title(message),
            )
        receipt.record = record
        if record.state != "accepted":
            record.attempts += 1
            await self.records.put(receipt.key, record)
        return record

    async def _commit(
        self, receipt: _Receipt, message: Message, found: Sender | None, record: Record
    ) -> None:
        """Translate and commit a message, unless it was committed and the process died then."""
        sender = translation.check_header(message, found)
        if record.attempts == 1 or not await self._committed(receipt.key, record):
            notes: tuple[Gap, ...] = ()
            if await self.records.twin(record.tenant, receipt.key):
                notes = (Gap("MSH", "MSH-10", _SAME_CONTROL_ID),)
            done = translation.translate_message(message, sender, record.received, notes=notes)
            await self._transact(receipt.key, record, done)
            record.gaps = tuple(gap.place for gap in done.coverage.gaps)
            self.unmapped.update((record.title, repair.general(place)) for place in record.gaps)
        record.state, record.code, record.reason, record.detail = "accepted", "", "", ""
        await self.records.put(receipt.key, record)

    async def _committed(self, key: str, record: Record) -> bool:
        """Tell whether the message's Provenance, and so all of its transaction, is in the store."""
        marker = provenance.marker(record.tenant, key)
        return await self._door.find(record.tenant, f"Provenance/{marker}") is not None

    async def _transact(self, key: str, record: Record, done: Translation) -> None:
        """Commit a translation with the Tasks that it opens or closes; races are tried again."""
        kind, known = await self._known_gaps(record)
        seen = dict.fromkeys([*known, *(repair.general(gap.text) for gap in done.coverage.gaps)])
        entries = list(done.bundle["entry"])
        if len(seen) > len(known):
            task = repair.unmapped(record.origin, record.title, seen, record.received)
            entries.append(repair.entry(task, overwrite=True))
        if record.state == "refused" and record.code not in _KINDS:
            task = repair.refused(key, record.title, record.reason, record.received)
            entries.append(repair.entry(task | {"status": "completed"}, overwrite=True))
        await self._through(record.tenant, repair.transaction(*entries))
        if len(seen) > len(known):
            self._gaps[record.tenant, kind] = tuple(seen)
            await self.records.keep_gaps(record.tenant, kind, tuple(seen))

    async def _through(self, tenant: str, bundle: Resource) -> None:
        """Send a Bundle through the door, again where it raced another writer."""
        for round_ in range(1, _ROUNDS + 1):
            try:
                await self._door.transact(tenant, bundle)
            except (Conflict, PreconditionFailed) as fault:
                if round_ == _ROUNDS or fault.issues[0].code == "multiple-matches":
                    raise
            else:
                return

    async def _known_gaps(self, record: Record) -> tuple[str, tuple[str, ...]]:
        """Give the key of a kind of messages, and the places that they were seen to carry unmapped."""
        kind = stable_id(record.origin, record.title)
        if (record.tenant, kind) not in self._gaps:
            found = await self.records.known_gaps(record.tenant, kind)
            self._gaps[record.tenant, kind] = found
        return kind, self._gaps[record.tenant, kind]

    async def _refused(self, receipt: _Receipt, failure: _Failure) -> None:
        """Keep why a message was not taken, and open a Task for it."""
        refusal = failure.refusal
        receipt.key = receipt.key or f"unreadable/{stable_id(receipt.raw.hex())}"
        record = receipt.record
        if record is None:
            place = (receipt.peer, "unreadable")
            record = Record(receipt.raw, receipt.at, receipt.peer, DEFAULT, *place)
        told = f"{refusal.location}: {refusal.text}" if refusal.location else refusal.text
        record.state, record.code, record.detail = "refused", refusal.code, failure.detail
        record.reason = told
        await self.records.put(receipt.key, record)
        if refusal.code in _KINDS:
            task = repair.unsupported(record.origin, record.title, told, record.received)
        else:
            task = repair.refused(receipt.key, record.title, told, record.received)
        await self._door.transact(record.tenant, repair.transaction(repair.entry(task)))

    def _negative(self, receipt: _Receipt, refusal: Refusal) -> bytes:
        """Give the negative ACK, and count it."""
        record = receipt.record
        title = record.title if record else "unreadable"
        self.counts[title, refusal.acknowledgement] += 1
        _log.warning("message refused", key=receipt.key, title=title, code=refusal.code)
        control_id = _answer_id(receipt.key, refusal.code)
        at = record.received if record else receipt.at
        if receipt.message is None:
            return acknowledge.unreadable(receipt.raw, control_id, at, refusal)
        return acknowledge.acknowledge(receipt.message, control_id, at, refusal)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The peer of a message that is taken again from the inbox."""

    host: str


def _answer_id(key: str, code: str) -> str:
    """Give MSH-10 of an ACK: the same for the same message and outcome, at most 20 characters."""
    return stable_id("ACK", key, code).replace("-", "")[:20]


def _refusal(fault: FhirError) -> Refusal:
    """Give what the sender is told of a FHIR error, without what it says of the content."""
    if fault.issues[0].code == "multiple-matches":
        return DuplicateKey("An identifier of the message finds several resources here")
    if isinstance(fault, NotFound):
        return UnknownKey("What the message changes is not known here", location="ORC-2")
    if isinstance(fault, Conflict | PreconditionFailed | Unavailable):
        return NotCommitted("The server is busy with the same resources; send it again")
    places = ", ".join(issue.expression for issue in fault.issues[:3] if issue.expression)
    return NotCommitted(f"The server refused the content{f' at {places}' if places else ''}")


def _diagnostics(fault: FhirError) -> list[str]:
    return [issue.diagnostics for issue in fault.issues[:5]]
