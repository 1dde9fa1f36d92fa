"""DICOM instances → one sorted volume with its geometry (PS3.3 C.7.6.2 Image Plane, C.8.2 CT, C.8.3 MR).

Coordinates are DICOM's patient coordinates in mm: x to the left, y to the back, z to the head.
"""

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import InvalidDicomError

from ai_observations import geometry
from ai_observations.frames import Frame, frames
from ai_observations.geometry import Geometry
from ai_observations.model import Selection, Unsuitable

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Header:
    """What a series says of itself that models use; empty where it does not say."""

    study_uid: str
    series_uid: str
    modality: str
    body_part: str = ""
    description: str = ""
    photometric: str = ""
    view: str = ""
    laterality: str = ""
    age_years: float | None = None
    bits_stored: int = 0


@dataclass(frozen=True)
class Volume:
    """One series as (slice, row, column) intensities: HU for CT, as rescaled otherwise.

    `affine` (4 x 4) takes (slice, row, column, 1) to patient coordinates in mm; `spacing` is in mm
    in the same order, 0 where not known; `padding` marks voxels outside the scanned field.
    `input_sha256` is over the instances that it was read from.
    """

    values: Floats
    affine: npt.NDArray[np.float64]
    spacing: tuple[float, float, float]
    padding: npt.NDArray[np.bool_]
    header: Header
    geometry: Geometry
    input_sha256: str
    instances: int

    @property
    def voxel_ml(self) -> float:
        """Give the volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000


def read(instances: Iterable[bytes], selection: Selection) -> Volume:
    """Read the largest series that the selection accepts; raises Unsuitable that says what lacks."""
    series: dict[str, list[tuple[pydicom.Dataset, str]]] = defaultdict(list)
    refusals: dict[str, None] = {}
    for data in instances:
        dataset = _parse(data)
        if dataset is None:
            refusals["it is not a DICOM image"] = None
        elif reason := _refusal(dataset, selection):
            refusals[reason] = None
        else:
            key = str(dataset.get("SeriesInstanceUID", ""))
            series[key].append((dataset, _fingerprint(dataset, data)))
    if not series:
        told = "; ".join(refusals) or "the study has no instances"
        raise Unsuitable(f"No series of the study is accepted: {told}")
    chosen = max(series.values(), key=lambda members: (len(members), -_number(members[0][0])))
    return _volume(chosen, selection)


def _parse(data: bytes) -> pydicom.Dataset | None:
    """Parse one Part 10 file; None for what is no image or no DICOM."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except (InvalidDicomError, EOFError):
        return None
    return dataset if "PixelData" in dataset and "Rows" in dataset else None


def _refusal(dataset: pydicom.Dataset, selection: Selection) -> str:
    """Say why an instance is not read; empty where it is."""
    header = _header(dataset)
    if "LOCALIZER" in [str(value).upper() for value in dataset.get("ImageType") or ()]:
        return "it is a localizer"
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        return "it has colours"
    if header.age_years is not None and header.age_years < selection.min_age:
        return f"the patient is younger than {selection.min_age} years"
    return selection.refuses(header.modality, header.body_part, header.description)


def _fingerprint(dataset: pydicom.Dataset, data: bytes) -> str:
    """Give one line that tells an instance and its bytes."""
    return f"{dataset.get('SOPInstanceUID', '')} {hashlib.sha256(data).hexdigest()}"


def digest(fingerprints: Iterable[str]) -> str:
    """Give the SHA-256 of a series: over the sorted lines 'SOP Instance UID, SHA-256 of its file'."""
    return hashlib.sha256("\n".join(sorted(fingerprints)).encode()).hexdigest()


def _number(dataset: pydicom.Dataset) -> int:
    value = dataset.get("SeriesNumber")
    return 0 if value is None else int(value)


def _header(dataset: pydicom.Dataset) -> Header:
    """Read what a dataset says of its series."""

    def text(keyword: str) -> str:
        value = dataset.get(keyword)
        return "" if value is None else str(value).strip()

    return Header(
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        modality=text("Modality"),
        body_part=text("BodyPartExamined"),
        description=f"{text('SeriesDescription')} {text('ProtocolName')}".strip(),
        photometric=text("PhotometricInterpretation"),
        view=text("ViewPosition"),
        laterality=text("ImageLaterality") or text("Laterality"),
        age_years=_age(text("PatientAge")),
        bits_stored=int(dataset.get("BitsStored", 0)),
    )


def _age(text: str) -> float | None:
    """Read an Age String (PS3.5 AS: nnnD, nnnW, nnnM, nnnY) in years."""
    found = re.fullmatch(r"(\d{3})([DWMY])", text)
    if not found:
        return None
    return int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[found[2]]


def _volume(members: Sequence[tuple[pydicom.Dataset, str]], selection: Selection) -> Volume:
    """Sort, check and stack the frames of one series."""
    all_frames = [frame for dataset, _ in members for frame in frames(dataset)]
    kept = geometry.largest_stack(all_frames)
    order, found = geometry.examine(kept, dropped=len(all_frames) - len(kept))
    stack = [kept[index] for index in order]
    _demand(found, len(stack), selection)
    values = np.stack([frame.intensities() for frame in stack])
    padding = np.stack([frame.padding() for frame in stack])
    return Volume(
        values=values,
        affine=found.affine,
        spacing=found.spacing,
        padding=padding,
        header=_header(members[0][0]),
        geometry=found,
        input_sha256=digest(line for _, line in members),
        instances=len(members),
    )


def _demand(found: Geometry, slices: int, selection: Selection) -> None:
    """Refuse a stack that a measuring model would measure wrongly."""
    if slices < selection.min_slices:
        raise Unsuitable(
            f"The series has {slices} slices; at least {selection.min_slices} are needed"
        )
    if not selection.complete:
        return
    if not found.located or min(found.spacing) <= 0:
        raise Unsuitable(
            "The series does not tell pixel spacing or slice positions; nothing is measured"
        )
    if found.missing:
        raise Unsuitable(f"{found.missing} slices of the series are missing; nothing is measured")
    if found.uneven:
        raise Unsuitable("The slices of the series are unevenly spaced; nothing is measured")


__all__ = ["Floats", "Frame", "Geometry", "Header", "Volume", "digest", "read"]
