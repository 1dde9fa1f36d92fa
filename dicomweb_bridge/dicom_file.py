"""A DICOM file opened with suspicion: meta information, header and pixel data element (PS3.10 7, PS3.5 7)."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

from msgspec import Struct

from dicomweb_bridge import dicom_json
from dicomweb_bridge.archive.port import Failure

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pydicom.dataelem import RawDataElement
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
EXPLICIT = "1.2.840.10008.1.2.1"
UNDEFINED = 0xFFFFFFFF
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_MAGIC_AT, _MAGIC = 128, b"DICM"
_LONG_FORMS = frozenset(
    {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"}
)
_META_LIMIT = 256 * 1024
_LEFT_IN_FILE = 64 * 1024
_CHUNK = 1024 * 1024
_FIRST_PADDING = 0xFFFCFFFC
_TRANSFER_SYNTAX = 0x00020010


class Limits(Struct, frozen=True):
    """What is accepted, in bytes: an instance, its header without bulk data, a deflated data set inflated."""

    instance: int = 2 * 1024**3
    header: int = 32 * 1024**2
    inflated: int = 128 * 1024**2


class Unreadable(Exception):
    """The file can't be taken, for this reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


class Pixels(Struct, frozen=True):
    """Where a pixel data element lies: tag, VR, the offset of its value and its length or UNDEFINED."""

    tag: int
    vr: str
    offset: int
    length: int


class Source(Struct, frozen=True):
    """An opened data set: the file it lies in (inflated where it was deflated), its start and encoding.

    `implicit` tells that value representations are left out (PS3.5 A.1).
    """

    file: BinaryIO
    start: int
    size: int
    transfer_syntax: str
    implicit: bool

    @property
    def little(self) -> bool:
        """Tell whether the byte order is little endian (PS3.5 7.3)."""
        return self.transfer_syntax != BIG_ENDIAN


class _Bounded:
    """A file that gives at most so many bytes in all, so that a header can't fill the memory."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1, /) -> bytes:
        """Read, or raise Unreadable past the limit."""
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        data = self._file.read(wanted)
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable(Failure.TOO_LARGE)
        return data


def source(file: BinaryIO, limits: Limits) -> Source:
    """Open a DICOM file's data set; raises Unreadable. Blocks, as all of this module: call it in a thread."""
    file.seek(_MAGIC_AT)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Unreadable(Failure.NOT_UNDERSTOOD)
    transfer_syntax, start = _meta(file)
    if transfer_syntax != DEFLATED:
        implicit = _is_implicit(file, start)
        return Source(file, start, file.seek(0, io.SEEK_END), transfer_syntax, implicit)
    file.seek(start)
    inflated = _inflated(file, limits.inflated)
    return Source(io.BytesIO(inflated), 0, len(inflated), transfer_syntax, implicit=False)


def _is_implicit(file: BinaryIO, start: int) -> bool:
    """Look at the first element: some writers contradict their own transfer syntax."""
    file.seek(start)
    return not file.read(6)[4:].isalpha()


def _meta(file: BinaryIO) -> tuple[str, int]:
    """Read the file meta information (always explicit, little endian): the transfer syntax, where it ends."""
    transfer_syntax = ""
    while (start := file.tell()) < _META_LIMIT:
        head = file.read(8)
        if len(head) < len(b"GGEEVRLL") or head[:2] != b"\x02\x00":
            break
        length = int.from_bytes(head[6:8], "little")
        if head[4:6] in _LONG_FORMS:
            length = int.from_bytes(file.read(4), "little")
        if head[:4] == b"\x02\x00\x10\x00":
            transfer_syntax = file.read(min(length, 64)).decode("ascii", "replace").strip("\0 ")
        else:
            file.seek(length, io.SEEK_CUR)
    if not transfer_syntax or start >= _META_LIMIT:
        raise Unreadable(Failure.NOT_UNDERSTOOD)
    return transfer_syntax, start


def _inflated(file: BinaryIO, limit: int) -> bytes:
    """Inflate the rest of a file (PS3.5 A.5), raising Unreadable rather than growing past the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    try:
        while (chunk := file.read(_CHUNK)) and not inflater.eof:
            found += inflater.decompress(chunk, limit + 1 - len(found))
            if len(found) > limit or inflater.unconsumed_tail:
                raise Unreadable(Failure.TOO_LARGE)
    except zlib.error:
        raise Unreadable(Failure.NOT_UNDERSTOOD) from None
    if not inflater.eof:
        raise Unreadable(Failure.INCOMPLETE)
    return bytes(found)


def header(found: Source, limits: Limits) -> tuple[Dataset, Pixels | None]:
    """Read everything before the pixels, leaving long values in the file; raises Unreadable."""
    bounded = _Bounded(found.file, limits.header)
    try:
        dataset = _dataset(bounded, found)
        _require_complete(_raws(dataset), found)
        _fetch_sequences(bounded, dataset)
    except MALFORMED:
        raise Unreadable(Failure.NOT_UNDERSTOOD) from None
    except EOFError:
        raise Unreadable(Failure.INCOMPLETE) from None
    return dataset, _pixels(found)


def _dataset(bounded: _Bounded, found: Source) -> Dataset:
    from pydicom.dataset import Dataset  # noqa: PLC0415 - heavy, only when a file is read
    from pydicom.filereader import data_element_generator  # noqa: PLC0415 - likewise

    found.file.seek(found.start)
    elements = data_element_generator(
        cast("BinaryIO", bounded),  # it needs read, seek and tell alone
        found.implicit,
        found.little,
        stop_when=lambda tag, _, __: tag in PIXEL_TAGS or tag >= _FIRST_PADDING,
        defer_size=_LEFT_IN_FILE,
    )
    content = {element.tag: element for element in elements}
    end = found.file.tell()
    dataset = Dataset(content)
    dataset.set_original_encoding(found.implicit, found.little, "iso8859")
    found.file.seek(end)
    return dataset


def _raws(dataset: Dataset) -> list[RawDataElement]:
    """Give the elements of a defined length as they were read; a value None was left in the file."""
    from pydicom.dataelem import RawDataElement  # noqa: PLC0415 - heavy, only when a file is read

    elements: list[object] = [dataset.get_item(tag) for tag in list(dataset.keys())]
    return [e for e in elements if isinstance(e, RawDataElement) and e.length not in {0, UNDEFINED}]


def _require_complete(elements: Iterable[RawDataElement], found: Source) -> None:
    """Raise EOFError if a value that the header promises lies beyond the file's end, or an element's head."""
    for element in elements:
        if 0 < found.size - (element.value_tell + element.length) < len(b"GGEEVRLL"):
            raise EOFError
        if element.value is None and element.value_tell + element.length > found.size:
            raise EOFError
        if element.value is not None and len(element.value) < element.length:
            raise EOFError


def _fetch_sequences(bounded: _Bounded, dataset: Dataset) -> None:
    """Read the long sequences that were left in the file: they are header, not bulk data."""
    position = bounded.tell()
    for raw in _raws(dataset):
        if raw.value is None and dicom_json.vr_of(raw, signed=False) == "SQ":
            bounded.seek(raw.value_tell)
            dataset[raw.tag] = raw._replace(value=bounded.read(raw.length))
    bounded.seek(position)


def fetch(found: Source, dataset: Dataset, tags: Container[int]) -> None:
    """Read those of the tags' values into a header that were left in the file."""
    for raw in _raws(dataset):
        if raw.value is None and raw.tag in tags:
            found.file.seek(raw.value_tell)
            dataset[raw.tag] = raw._replace(value=found.file.read(raw.length))


def _pixels(found: Source) -> Pixels | None:
    """Read the head of the pixel data element that the file now stands at, if it stands at one."""
    head = found.file.read(12)
    if len(head) < len(b"GGEEVR00LLLL"):
        return None
    group, element = struct.unpack("<HH" if found.little else ">HH", head[:4])
    tag = group << 16 | element
    if tag not in PIXEL_TAGS:
        return None
    vr = "OW" if found.implicit else head[4:6].decode("ascii", "replace")
    at = 4 if found.implicit else 8
    (length,) = struct.unpack("<I" if found.little else ">I", head[at : at + 4])
    offset = found.file.tell() - len(head) + at + 4
    if length != UNDEFINED and offset + length > found.size:
        raise Unreadable(Failure.INCOMPLETE)
    return Pixels(tag, vr, offset, length)


MALFORMED = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OSError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    struct.error,
)
"""What the library raises on malformed files."""
