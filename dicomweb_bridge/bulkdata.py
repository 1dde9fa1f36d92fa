"""One long value of an instance, found by its path of tags and item numbers (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, BinaryIO

from dicomweb_bridge import dicom_file
from dicomweb_bridge.dicom_file import Limits, Unreadable
from resources import outcome

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PATH = re.compile(r"[0-9A-F]{8}(/\d{1,6}/[0-9A-F]{8}){0,32}", re.ASCII)
_FLOAT_PIXELS = frozenset({0x7FE00008, 0x7FE00009})


def value(file: BinaryIO, path: str) -> bytes:
    """Give the bytes of the value at a path such as 54000100/0/54001010; raises NotFound. Blocks."""
    if not _PATH.fullmatch(path):
        raise outcome.NotFound("There is no such bulk data")
    try:
        found = _found(file, path.split("/"))
    except (Unreadable, EOFError, *dicom_file.MALFORMED):
        raise outcome.NotFound("There is no such bulk data") from None
    if isinstance(found, str):
        return found.encode()
    if not isinstance(found, bytes):
        raise outcome.NotFound("There is no such bulk data")
    return found


def _found(file: BinaryIO, steps: list[str]) -> Any:
    source = dicom_file.source(file, Limits())
    dataset, pixels = dicom_file.header(source, Limits())
    tag = int(steps[0], 16)
    if pixels is not None and tag == pixels.tag and tag in _FLOAT_PIXELS:
        source.file.seek(pixels.offset)
        return source.file.read(pixels.length)
    dicom_file.fetch(source, dataset, (tag,))
    return _value(dataset, steps)


def _value(dataset: Dataset, steps: list[str]) -> Any:
    tag = int(steps[0], 16)
    if len(steps) > 1:
        return _value(dataset[tag].value[int(steps[1])], steps[2:])
    element: object = dataset.get_item(tag)
    return None if getattr(element, "VR", "") == "SQ" else getattr(element, "value", None)
