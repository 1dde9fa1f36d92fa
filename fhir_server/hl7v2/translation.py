"""One message to one transaction Bundle, and what of it is not in the Bundle."""

import hashlib
import re
import time
from functools import cache

from msgspec import Struct

from fhir_server.hl7v2 import coverage as coverage_
from fhir_server.hl7v2 import message as message_
from fhir_server.hl7v2 import message_map, messages
from fhir_server.hl7v2.coverage import Coverage, Gap
from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.message_map import Maps
from fhir_server.hl7v2.refusal import (
    FieldMissing,
    UnknownSender,
    UnsupportedProcessing,
    UnsupportedVersion,
)
from fhir_server.hl7v2.segments import provenance
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.hl7v2.transaction import Transaction
from resources.model import Resource

_TITLE = re.compile(r"[A-Z]{3}\^[A-Z][A-Z0-9]{2}", re.ASCII)


class Translation(Struct, frozen=True):
    """A transaction Bundle, the coverage of the message by it, and the id of its Provenance."""

    bundle: Resource
    coverage: Coverage
    marker: str


@cache
def standard_maps() -> Maps:
    """Give the message maps that are shipped and those of installed plug-ins."""
    return message_map.discovered(messages)


def message_key(message: Message) -> str:
    """Give the key of a message: sender and control id, then the body; no value of it can be read back."""
    sent = "\x00".join((message.sender(3), message.sender(4), message.control_id))
    origin = hashlib.sha256(sent.encode()).hexdigest()[:32]
    return f"{origin}/{hashlib.sha256(message.raw).hexdigest()[:32]}"


def title(message: Message) -> str:
    """Give type and trigger event, e.g. ADT^A04; "unknown" where they are none that could be."""
    named = f"{message.type}^{message.event}"
    return named if _TITLE.fullmatch(named) else "unknown"


def check_header(message: Message, sender: Sender | None) -> Sender:
    """Give the sender; raises a Refusal for one that is not known, a version or processing id not taken."""
    header = message.header
    if sender is None:
        raise UnknownSender("The sending application is not configured", location="MSH-3")
    if not message.control_id:
        raise FieldMissing("The message has no control id", location="MSH-10")
    if message.version and not message.version.startswith("2"):
        raise UnsupportedVersion("Only versions 2.x are read", location="MSH-12")
    processing = header.value("11")
    if processing and processing not in sender.processing:
        raise UnsupportedProcessing(
            "The processing id is not taken from this sender", location="MSH-11"
        )
    return sender


def translate_message(
    message: Message, sender: Sender, received: int, *, notes: tuple[Gap, ...] = ()
) -> Translation:
    """Give the Translation of a parsed message; `received` in milliseconds since 1970 UTC.

    `notes` are gaps found before. Raises a Refusal: no map, nothing that identifies a resource.
    """
    found = standard_maps().find(message)
    transaction = Transaction(message, sender)
    transaction.gaps.extend(notes)
    if message.fault:
        transaction.gaps.append(Gap("MSH", "MSH-18", message.fault))
    found.read(message, transaction)
    key = message_key(message)
    marker = transaction.put(provenance.provenance(transaction, key, received))
    gaps = (*transaction.gaps, *coverage_.unread(message))
    return Translation(transaction.bundle(), Coverage(gaps), marker.removeprefix("urn:uuid:"))


def read(raw: bytes, senders: Senders) -> tuple[Message, Sender | None]:
    """Give the parsed message and its sender, whose character set is that of messages without MSH-18.

    Raises a Refusal where the bytes are no message.
    """
    message = message_.parse(raw)
    sender = senders.find(message.sender(3), message.sender(4))
    if sender is not None and sender.character_set and not message.header.value("18"):
        message = message_.parse(raw, sender.character_set)
    return message, sender


def translate(
    raw: bytes, sender: Sender | Senders | None = None, received: int | None = None
) -> Translation:
    """Give the Translation of a message's bytes; by default of any sender, received now.

    Raises a Refusal: the bytes are no message, the header is not taken, no map reads it, or it lacks
    what identifies a resource.
    """
    senders = sender if isinstance(sender, Senders) else Senders(default=sender or Sender())
    message, found = read(raw, senders)
    now = time.time_ns() // 1_000_000 if received is None else received
    return translate_message(message, check_header(message, found), now)
