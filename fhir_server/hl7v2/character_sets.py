"""MSH-18 and the bytes of a message: HL7 table 0211 (HL7 v2.5.1 §2.15.9.18)."""

import codecs
from typing import NamedTuple

from fhir_server.hl7v2.refusal import WrongDatatype

_CODECS = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "ISO IR100": "iso8859-1",
    "ISO IR14": "iso2022_jp",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
    "KS X 1001": "euc_kr",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "WINDOWS-1252": "cp1252",
} | {f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15)}

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Decoded(NamedTuple):
    """The text, the codec that gave it, and what was wrong with what MSH-18 declares."""

    text: str
    codec: str
    fault: str = ""


def decode(data: bytes, default: str = "") -> Decoded:
    """Give the text of a message by its byte order mark, else MSH-18, else the sender's `default`.

    Without any declaration: UTF-8, and ISO 8859-1 if the bytes are no UTF-8. Bytes that are not of the
    declared set are read the same way and reported. Raises WrongDatatype for other characters than
    ASCII in a set that is not known.
    """
    for mark, codec in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _strict(data, codec) or _guess(
                data, "The bytes contradict their byte order mark"
            )
    declared = _declared(data) or default
    if data.isascii() and not _escapes(declared):
        return Decoded(data.decode("ascii"), _CODECS.get(declared.upper(), "ascii"))
    if not declared:
        return _guess(data, "" if _strict(data, "utf-8") else "No character set is declared")
    codec = _CODECS.get(declared.upper(), "")
    if not codec:
        raise WrongDatatype("The character set is not one of table 0211", location="MSH-18")
    return _strict(data, codec) or _guess(data, "The bytes are not in the declared character set")


def _declared(data: bytes) -> str:
    """Give MSH-18 as it stands; of several sets the one that needs escapes, else the first."""
    header = data.lstrip()[:4096].replace(b"\n", b"\r").split(b"\r", 1)[0]
    fields = header.split(header[3:4]) if len(header) > 3 else []
    if len(fields) < 18:
        return ""
    sets = fields[17].decode("latin-1").split(chr(fields[1][1]) if len(fields[1]) > 1 else "~")
    names = [name.strip() for name in sets]
    return next((name for name in names if _escapes(name)), names[0])


def _escapes(name: str) -> bool:
    """Tell whether the set shifts by escape sequences that are ASCII bytes themselves."""
    return _CODECS.get(name.upper(), "").startswith("iso2022")


def _strict(data: bytes, codec: str) -> Decoded | None:
    """Give the text if every byte is of the codec."""
    try:
        return Decoded(data.decode(codec), "utf-8" if codec == "utf-8-sig" else codec)
    except UnicodeDecodeError:
        return None


def _guess(data: bytes, fault: str) -> Decoded:
    """Read as UTF-8, else as ISO 8859-1, which takes any byte."""
    found = _strict(data, "utf-8-sig") or Decoded(data.decode("latin-1"), "iso8859-1")
    return Decoded(found.text, found.codec, fault)
