"""The answer to a message: ACK with MSA, and ERR where it is not taken (HL7 v2.5.1 §2.9, §2.15.5).

Original mode: AA, AE, AR. Where MSH-15 or MSH-16 is valued the enhanced mode's conditions hold: what
MSH-16 asks for is answered as AA, AE or AR, else what MSH-15 asks for as CA, CE or CR, else nothing.
All of them are sent after the commit.
"""

import re
from datetime import UTC, datetime

from fhir_server.hl7v2 import message as message_
from fhir_server.hl7v2.escapes import Separators
from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.refusal import Refusal

APPLICATION = "HOUNSFIELD"
_VERSION = "2.5.1"
_BEFORE_ERR_3 = ("2.1", "2.2", "2.3", "2.4")
_DUE = {"AL": (True, True), "ER": (False, True), "SU": (True, False), "NE": (False, False)}


def acknowledge(
    message: Message, control_id: str, at: int, refusal: Refusal | None = None
) -> bytes:
    """Give the ACK of a message, or no bytes where the sender asked for none.

    `control_id` becomes MSH-10, `at` (milliseconds since 1970 UTC) MSH-7; the same gives the same bytes.
    """
    mode = _mode(message, refused=refusal is not None)
    if not mode:
        return b""
    code = mode + (refusal.acknowledgement[1] if refusal else "A")
    text = "".join(f"{line}\r" for line in _segments(message, code, control_id, at, refusal))
    return text.encode(message.codec, errors="replace")


def unreadable(raw: bytes, control_id: str, at: int, refusal: Refusal) -> bytes:
    """Give the ACK of bytes that could not be read, with what its header still tells."""
    line = re.split(rb"[\r\n]", raw.lstrip(b"\x0b\r\n \t\xef\xbb\xbf"), maxsplit=1)[0]
    header = bytes(byte for byte in line if 32 <= byte < 127)
    try:
        message = message_.parse(header)
    except Refusal:
        message = message_.parse(b"MSH|^~\\&|||||||ACK||P|2.5.1")
    return acknowledge(message, control_id, at, refusal)


def _mode(message: Message, *, refused: bool) -> str:
    """Give A for an application, C for an accept acknowledgement, nothing where none is due."""
    accept, application = (message.header.value(field).upper() for field in ("15", "16"))
    if not accept and not application:
        return "A"
    for letter, condition in (("A", application), ("C", accept)):
        if _DUE.get(condition or "NE", (True, True))[refused]:
            return letter
    return ""


def _segments(
    message: Message, code: str, control_id: str, at: int, refusal: Refusal | None
) -> list[str]:
    """Give MSH, MSA and ERR, with the separators of the message."""
    marks = message.separators
    old = message.version.startswith(_BEFORE_ERR_3)
    msa = ["MSA", code, message.header.field(10).raw]
    if refusal and old:
        msa.append(_escape(refusal.text, marks))
    segments = [_header(message, control_id, at), msa]
    if refusal:
        segments.append(_error(refusal, marks, old=old))
    return [marks.field.join(fields).rstrip(marks.field) for fields in segments]


def _header(message: Message, control_id: str, at: int) -> list[str]:
    """Give MSH: the parties exchanged, version, processing id and character set as they were sent."""
    header, marks = message.header, message.separators
    moment = datetime.fromtimestamp(at / 1000, UTC)
    time = f"{moment:%Y%m%d%H%M%S}.{at % 1000:03}+0000"
    kind = marks.component.join(part for part in ("ACK", message.event, "ACK") if part)
    return [
        "MSH",
        marks.component + marks.repetition + marks.escape + marks.subcomponent,
        header.field(5).raw or APPLICATION,
        header.field(6).raw,
        header.field(3).raw,
        header.field(4).raw,
        time,
        "",
        kind if message.event else "ACK",
        control_id,
        header.field(11).raw or "P",
        header.field(12).raw or _VERSION,
        *[""] * 5,
        header.field(18).raw,
    ]


def _error(refusal: Refusal, marks: Separators, *, old: bool) -> list[str]:
    """Give ERR: before v2.5 only ERR-1, since then location, code of table 0357, severity, text."""
    location = refusal.erl.replace("^", marks.component)
    if old:
        place = [*refusal.erl.split("^"), "", "", ""][:3]
        code = marks.subcomponent.join((refusal.code, refusal.meaning, "HL70357"))
        return ["ERR", marks.component.join([*place, code])]
    code = marks.component.join((refusal.code, refusal.meaning, "HL70357"))
    return ["ERR", "", location, code, "E", "", "", "", _escape(refusal.text, marks)]


def _escape(text: str, marks: Separators) -> str:
    """Give text with the separators escaped."""
    names = zip("FSRET", marks, strict=True)
    table = {ord(mark): f"{marks.escape}{name}{marks.escape}" for name, mark in names if mark}
    return text.translate(table) if marks.escape else text
