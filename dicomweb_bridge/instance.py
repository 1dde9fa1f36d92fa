"""What is kept of an instance beside its bytes: identity, indexed attributes, metadata (PS3.18 10.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from dicomweb_bridge import attributes, dicom_file, dicom_json
from dicomweb_bridge.archive.port import Failure
from dicomweb_bridge.attributes import STORED, Attributes, Level
from dicomweb_bridge.dicom_file import Limits, Unreadable

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset


class Facts(Struct, frozen=True):
    """What the archive keeps of an instance."""

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    levels: dict[Level, Attributes]
    metadata: bytes


class Unacceptable(Exception):
    """An instance that is not taken, with its UIDs as far as they could be read."""

    def __init__(self, failure: Failure, sop_class: str = "", instance: str = "") -> None:
        super().__init__(failure.name)
        self.failure = failure
        self.sop_class = sop_class
        self.instance = instance


def read(path: Path, limits: Limits) -> Facts:
    """Give the facts of a DICOM file; raises Unacceptable. Blocks: call it in a thread."""
    with path.open("rb") as file:
        try:
            found = dicom_file.source(file, limits)
            dataset, pixels = dicom_file.header(found, limits)
        except Unreadable as fault:
            raise Unacceptable(fault.failure) from None
    try:
        return _facts(dataset, found.transfer_syntax, pixels)
    except dicom_file.MALFORMED:
        raise Unacceptable(Failure.NOT_UNDERSTOOD) from None


def _facts(dataset: Dataset, transfer_syntax: str, pixels: dicom_file.Pixels | None) -> Facts:
    nonce = dicom_json.nonce()
    content = dicom_json.encode(dataset, nonce)
    study, series, instance, sop_class = (
        attributes.text(content, tag) for tag in ("0020000D", "0020000E", "00080018", "00080016")
    )
    if not all(attributes.is_uid(uid) for uid in (study, series, instance, sop_class)):
        known = [uid if attributes.is_uid(uid) else "" for uid in (sop_class, instance)]
        raise Unacceptable(Failure.NOT_UNDERSTOOD, *known)
    if not attributes.is_uid(transfer_syntax):
        raise Unacceptable(Failure.TRANSFER_SYNTAX, sop_class, instance)
    if pixels is not None:
        content[f"{pixels.tag:08X}"] = {"vr": pixels.vr, "BulkDataURI": f"{nonce}/{pixels.tag:08X}"}
    levels = {level: _chosen(content, tags) for level, tags in STORED.items()}
    where = f"/studies/{study}/series/{series}/instances/{instance}/bulkdata".encode()
    metadata = dicom_json.serialise(content, nonce).replace(
        dicom_json.BASE, dicom_json.BASE + where
    )
    return Facts(study, series, instance, sop_class, transfer_syntax, levels, metadata)


def _chosen(content: Attributes, tags: frozenset[str]) -> Attributes:
    return {tag: content[tag] for tag in content.keys() & tags if "BulkDataURI" not in content[tag]}
