"""The frames of an instance, as they are stored or decoded (PS3.5 8, A.4; PS3.18 10.4, table 8.7.3-5).

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from dicomweb_bridge import dicom_file, dicom_json
from dicomweb_bridge.dicom_file import DEFLATED, UNDEFINED, Limits, Pixels, Source, Unreadable
from resources import outcome

if TYPE_CHECKING:
    import numpy as np
    from pydicom.dataset import Dataset

MOST_PIXELS = 256 * 1024**2
"""Samples in one decoded frame; a header that promises more is not decoded."""

_MEDIA = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
_UNDECODABLE = (*dicom_file.MALFORMED, RuntimeError, EOFError, MemoryError)


def media_type(transfer_syntax: str) -> str:
    """Give the media type of a frame as it is stored."""
    return _MEDIA.get(transfer_syntax, "application/octet-stream")


class Frames:
    """The frames of an open DICOM file; raises NotFound if it has no pixel data."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        try:
            self._source: Source = dicom_file.source(file, Limits())
            dataset, pixels = dicom_file.header(self._source, Limits())
        except Unreadable:
            raise outcome.NotFound("The instance can't be read") from None
        if pixels is None:
            raise outcome.NotFound("The instance has no pixel data")
        self._pixels: Pixels = pixels
        self.dataset: Dataset = dataset
        self.count = max(1, _integer(dataset, "NumberOfFrames") or 1)

    @property
    def encapsulated(self) -> bool:
        """Tell whether the frames are compressed."""
        return self._pixels.length == UNDEFINED

    def stored(self, number: int) -> bytes:
        """Give a frame, from 1, as it is stored; uncompressed ones in little endian. Raises NotFound."""
        self._require(number)
        try:
            return self._compressed(number) if self.encapsulated else self._native(number)
        except _UNDECODABLE:
            raise outcome.NotFound("The frame can't be read") from None

    def _require(self, number: int) -> None:
        if not 1 <= number <= self.count:
            raise outcome.NotFound("The instance has no frame of this number")

    def _compressed(self, number: int) -> bytes:
        from pydicom.encaps import get_frame  # noqa: PLC0415 - heavy, only when frames are asked for

        self._source.file.seek(self._pixels.offset)
        return get_frame(self._source.file, number - 1, number_of_frames=self.count)

    def _native(self, number: int) -> bytes:
        bits = self._frame_bits()
        first = (number - 1) * bits
        start, end = first // 8, (first + bits + 7) // 8
        if end > self._pixels.length:
            raise EOFError
        self._source.file.seek(self._pixels.offset + start)
        data = self._source.file.read(end - start)
        if first % 8:
            shifted = int.from_bytes(data, "little") >> first % 8
            return (shifted & ((1 << bits) - 1)).to_bytes((bits + 7) // 8, "little")
        width = (_integer(self.dataset, "BitsAllocated") or 8) // 8
        return (
            data
            if self._source.little or width not in {2, 4, 8}
            else dicom_json.swapped(data, width)
        )

    def _frame_bits(self) -> int:
        rows, columns, samples, bits = (
            _integer(self.dataset, name) or 0
            for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
        )
        if "422" in str(self.dataset.get("PhotometricInterpretation", "")):
            samples = 2
        total = rows * columns * samples * bits
        if total <= 0:
            raise EOFError
        return total

    def decoded(self, number: int, *, raw: bool = False) -> np.ndarray:
        """Give a frame as an array (rows, columns[, samples]); colours become RGB unless `raw`.

        Raises NotFound for no such frame, NotAcceptable for pixels that can't be decoded here.
        """
        self._require(number)
        size = (_integer(self.dataset, "Rows") or 0) * (_integer(self.dataset, "Columns") or 0)
        if size * (_integer(self.dataset, "SamplesPerPixel") or 1) > MOST_PIXELS:
            raise outcome.NotAcceptable("The frame is too large to be decoded")
        try:
            return self._array(number, raw=raw)
        except (*_UNDECODABLE, struct.error):
            raise outcome.NotAcceptable("The pixel data can't be decoded here") from None

    def _array(self, number: int, *, raw: bool) -> np.ndarray:
        from pydicom import dcmread  # noqa: PLC0415 - heavy, only when pixels are decoded
        from pydicom.pixels.utils import pixel_array  # noqa: PLC0415 - likewise

        self._file.seek(0)
        whole = self._source.transfer_syntax == DEFLATED
        return pixel_array(dcmread(self._file) if whole else self._file, index=number - 1, raw=raw)

    def fetch(self, tags: tuple[int, ...]) -> None:
        """Read long values into the header that were left in the file."""
        dicom_file.fetch(self._source, self.dataset, tags)


def _integer(dataset: Dataset, keyword: str) -> int | None:
    try:
        return int(dataset.get(keyword))
    except (TypeError, ValueError):
        return None
