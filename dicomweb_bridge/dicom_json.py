"""A data set in the DICOM JSON model (PS3.18 Annex F), without bulk data and without judging values.

Values are read from their raw bytes, so that a malformed one is carried or left empty and never raises,
and so that no library warning quotes what a patient's file holds.
"""

from __future__ import annotations

import base64
import contextlib
import math
import secrets
import struct
from array import array
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from resources import model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset

    from dicomweb_bridge.attributes import Attributes

BASE = b"\x00"
"""Stands in stored JSON for the base URL of BulkDataURI; JSON text holds no such byte otherwise."""
INLINE_LIMIT = 1024
"""Bytes of a binary value that are written inline; longer ones are told by BulkDataURI."""

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_WORDS = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_SINGLE = frozenset({"ST", "LT", "UT", "UR"})
_ENCODED = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
_NO_BULK = frozenset({"AE", "AS", "AT", "CS", "DA", "DT", "LO", "PN", "SH", "TM", "UI", "UR", "SQ"})
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5E, 0x5C, 0x3D}
_LARGEST = 10**15
"""Beyond it a number is written as text, lest a reader's arithmetic change its digits."""
_TYPECODES = {2: "H", 4: "I", 8: "Q"}


class _Scope(NamedTuple):
    """What the values of one data set are read by, and where its bulk data will be found."""

    encodings: Sequence[str]
    signed: bool
    bulk: str


def encode(dataset: Dataset, bulk: str) -> Attributes:
    """Give a data set in the JSON model; `bulk` is the URL below which its bulk data lie by tag."""
    return _dataset(dataset, _Scope(("iso8859",), signed=False, bulk=bulk))


def serialise(attributes: Attributes, nonce: str) -> bytes:
    """Give the JSON of `encode(…, bulk=nonce + path)` with BASE in place of the nonce."""
    return model.serialise(attributes).replace(nonce.encode(), BASE)


def nonce() -> str:
    """Give a text that no file can hold by foresight, to stand for the base URL while serialising."""
    return secrets.token_hex(16)


def with_base(stored: bytes, url: str) -> bytes:
    """Give stored JSON with its BulkDataURIs made absolute."""
    return stored.replace(BASE, url.encode())


def _dataset(dataset: Dataset, outer: _Scope) -> Attributes:
    scope = _inner(dataset, outer)
    found: Attributes = {}
    tags = [tag for tag in sorted(dataset.keys()) if tag.element != 0 and tag.group != 0x0002]
    for element in [
        dataset.get_item(tag) for tag in tags
    ]:  # all, before reading one converts others
        if element is not None:
            vr = vr_of(element, signed=scope.signed)
            found[f"{element.tag:08X}"] = {"vr": vr, **_content(dataset, element, vr, scope)}
    if "00080005" in found:
        found["00080005"]["Value"] = ["ISO_IR 192"]
    return found


def _inner(dataset: Dataset, outer: _Scope) -> _Scope:
    """Give the scope of a data set: its own character set and sign, or those around it."""
    charset = _raw(dataset.get_item(0x00080005))
    sign = _raw(dataset.get_item(0x00280103))
    return outer._replace(
        encodings=_encodings(charset) if charset else outer.encodings,
        signed=sign[:1] == b"\x01" or sign[:2] == b"\x00\x01" if sign else outer.signed,
    )


def _encodings(charset: bytes) -> Sequence[str]:
    """Give the codecs of a Specific Character Set (PS3.5 6.1.2); unknown ones read as Latin-1."""
    from pydicom.charset import convert_encodings  # noqa: PLC0415 - heavy, only when a file is read

    terms = [term.strip(" \0") for term in charset.decode("ascii", "replace").split("\\")]
    try:
        return convert_encodings(terms)
    except LookupError:
        return ("iso8859",)


def vr_of(element: DataElement | RawDataElement, *, signed: bool) -> str:
    """Give the value representation, looked up where the file does not tell it (PS3.5 A.1, PS3.6)."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 - heavy, only when a file is read

    vr = str(element.VR or "")
    if len(vr) != len("XX") or vr == "UN":
        try:
            vr = dictionary_VR(element.tag)
        except KeyError:
            vr = "LO" if element.tag.is_private_creator else "UN"
    if " or " not in vr:
        return vr
    if "OW" in vr and "OB" in vr:
        return "OW"
    return "SS" if signed and "SS" in vr else "US"


def _content(
    dataset: Dataset, element: DataElement | RawDataElement, vr: str, scope: _Scope
) -> dict[str, Any]:
    tag = f"{element.tag:08X}"
    if vr == "SQ":
        return _sequence(dataset, element, scope._replace(bulk=f"{scope.bulk}/{tag}"))
    data = _raw(element)
    if getattr(element, "value", None) is None and getattr(element, "length", 0) != 0:
        return {} if vr in _NO_BULK else {"BulkDataURI": f"{scope.bulk}/{tag}"}
    if not data:
        return {}
    little = bool(getattr(element, "is_little_endian", True))
    if vr in _WORDS or vr not in _READERS:
        return _binary(data, vr, little, f"{scope.bulk}/{tag}")
    value = _READERS[vr](data, vr, little, scope)
    return {"Value": value} if value else {}


def _raw(element: DataElement | RawDataElement | None) -> bytes:
    """Give an element's bytes, b"" for none or for one that is left in the file."""
    value = getattr(element, "value", None)
    return value if isinstance(value, bytes) else b""


def _sequence(
    dataset: Dataset, element: DataElement | RawDataElement, scope: _Scope
) -> dict[str, Any]:
    try:
        items = dataset[element.tag].value or ()
        content = [
            _dataset(item, scope._replace(bulk=f"{scope.bulk}/{number}"))
            for number, item in enumerate(items)
        ]
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        NotImplementedError,
        struct.error,
    ):
        return {}
    return {"Value": content} if content else {}


def _binary(data: bytes, vr: str, little: bool, uri: str) -> dict[str, Any]:  # noqa: FBT001 - a byte order
    if len(data) > INLINE_LIMIT:
        return {"BulkDataURI": uri}
    width = _WORDS.get(vr, 1)
    if not little and width > 1:
        data = swapped(data, width)
    return {"InlineBinary": base64.b64encode(data).decode()}


def swapped(data: bytes, width: int) -> bytes:
    """Give words of 2, 4 or 8 bytes in the other byte order; a rest is dropped."""
    words = array(_TYPECODES[width], data[: len(data) // width * width])
    words.byteswap()
    return words.tobytes()


def _numbers(data: bytes, vr: str, little: bool, _: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    code = _NUMBERS[vr]
    count = len(data) // struct.calcsize("=" + code)
    order = "<" if little else ">"
    found = struct.unpack_from(f"{order}{count}{code}", data)
    return [value if math.isfinite(value) else None for value in found]


def _tags(data: bytes, _: str, little: bool, __: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    count = len(data) // 4
    words = struct.unpack_from(f"{'<' if little else '>'}{count * 2}H", data)
    return [f"{words[i]:04X}{words[i + 1]:04X}" for i in range(0, len(words), 2)]


def _strings(data: bytes, vr: str, _: bool, scope: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    text = _decoded(data, vr, scope).replace("\0", "")
    if vr in _SINGLE:
        return [text.rstrip(" ")] if text.strip(" ") else []
    parts = [part.strip(" ") for part in text.split("\\")]
    return [part or None for part in parts] if any(parts) else []


def _decoded(data: bytes, vr: str, scope: _Scope) -> str:
    from pydicom.charset import decode_bytes  # noqa: PLC0415 - heavy, only when a file is read

    if vr not in _ENCODED or (data.isascii() and b"\x1b" not in data):
        return data.decode("latin-1")
    try:
        return decode_bytes(data, list(scope.encodings), _DELIMITERS)
    except (UnicodeError, LookupError, ValueError):
        return data.decode("latin-1")


def _names(data: bytes, vr: str, little: bool, scope: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    names: list[Any] = []
    for name in _strings(data, vr, little, scope):
        groups = [group.rstrip("^ ") for group in (name or "").split("=")[:3]]
        names.append({k: v for k, v in zip(_NAME_GROUPS, groups, strict=False) if v} or None)
    return names if any(names) else []


def _decimals(data: bytes, vr: str, little: bool, scope: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    return [_number(text, Decimal) for text in _strings(data, vr, little, scope)]


def _integers(data: bytes, vr: str, little: bool, scope: _Scope) -> list[Any]:  # noqa: FBT001 - a byte order
    return [_number(text, int) for text in _strings(data, vr, little, scope)]


def _number(text: str | None, kind: Callable[[str], Any]) -> Any:
    """Give a number, or the text itself where it is none (PS3.18 F.2.3 allows both)."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, InvalidOperation):
        value = kind(text)
        if -_LARGEST < value < _LARGEST:
            return value
    return text


_READERS: dict[str, Callable[[bytes, str, bool, _Scope], list[Any]]] = {
    **dict.fromkeys(_NUMBERS, _numbers),
    **dict.fromkeys(
        ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "SH", "ST", "TM", "UC", "UI", "UR", "UT"),
        _strings,
    ),
    "AT": _tags,
    "PN": _names,
    "DS": _decimals,
    "IS": _integers,
}
