"""Why a message is not taken: one tree, told to the sender in ERR (HL7 v2.5.1 §2.15.5, table 0357)."""

import re
from typing import ClassVar, Literal

Acknowledgement = Literal["AA", "AE", "AR"]

_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+))?(?:\.(\d+))?")


class Refusal(Exception):
    """A message that is not taken; the text names places and rules, never a value of the message."""

    acknowledgement: ClassVar[Acknowledgement] = "AE"
    code: ClassVar[str] = "207"
    meaning: ClassVar[str] = "Application internal error"

    def __init__(self, text: str, *, location: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.location = location

    @property
    def erl(self) -> str:
        """Give the location as ERR-2 has it: segment^sequence^field^repetition^component, or nothing."""
        found = _LOCATION.fullmatch(self.location)
        if found is None:
            return ""
        segment, sequence, field, component = found.groups()
        parts = [segment, sequence or "1", field or "", "1" if component else "", component or ""]
        return "^".join(parts).rstrip("^")


class Unreadable(Refusal):
    """The bytes are no HL7 v2 message: no MSH, no separators, a batch, two messages in one frame."""

    acknowledgement = "AR"
    code = "100"
    meaning = "Segment sequence error"


class SegmentMissing(Refusal):
    """A segment that the message map needs is absent, or segments stand in an order that has no meaning."""

    code = "100"
    meaning = "Segment sequence error"


class FieldMissing(Refusal):
    """A field without which nothing can be written is empty: an identifier, the control id."""

    code = "101"
    meaning = "Required field missing"


class WrongDatatype(Refusal):
    """Content cannot be read as its data type, e.g. bytes in a character set that is not known."""

    code = "102"
    meaning = "Data type error"


class UnknownCode(Refusal):
    """A code that decides what is to be done is not in its table, e.g. an order control code."""

    code = "103"
    meaning = "Table value not found"


class TooLong(Refusal):
    """The message is longer than the listener takes."""

    acknowledgement = "AR"
    code = "104"
    meaning = "Value too long"


class UnsupportedMessage(Refusal):
    """No map reads this message type."""

    acknowledgement = "AR"
    code = "200"
    meaning = "Unsupported message type"


class UnsupportedEvent(Refusal):
    """The message type is read, this trigger event of it is not."""

    acknowledgement = "AR"
    code = "201"
    meaning = "Unsupported event code"


class UnsupportedProcessing(Refusal):
    """The sender may not send this processing id, e.g. debugging messages to production."""

    acknowledgement = "AR"
    code = "202"
    meaning = "Unsupported processing id"


class UnsupportedVersion(Refusal):
    """The version is not one of HL7 v2."""

    acknowledgement = "AR"
    code = "203"
    meaning = "Unsupported version id"


class UnknownSender(Refusal):
    """No configuration speaks of the sending application and facility."""

    acknowledgement = "AR"
    code = "204"
    meaning = "Unknown key identifier"


class UnknownKey(Refusal):
    """What the message changes does not exist, e.g. the order that is cancelled."""

    code = "204"
    meaning = "Unknown key identifier"


class DuplicateKey(Refusal):
    """Two parts of the message claim one identity, or one identifier finds several resources."""

    code = "205"
    meaning = "Duplicate key identifier"


class NotCommitted(Refusal):
    """The server refused or failed to write what the message says; nothing of it was written."""
