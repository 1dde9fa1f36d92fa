"""A frame of a DICOM image with its place: classic instances and enhanced multi-frame (PS3.3 C.7.6.16)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pydicom

from ai_observations.model import Unsuitable

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """One frame: its place in the patient (None where it is not told), and its pixels when asked."""

    dataset: pydicom.Dataset
    index: int
    number: int
    position: Vector | None
    orientation: Vector | None
    pixel_spacing: tuple[float, float]
    slope: float
    intercept: float

    @property
    def shape(self) -> tuple[int, int]:
        """Give rows and columns."""
        return int(self.dataset.Rows), int(self.dataset.Columns)

    @cached_property
    def stored(self) -> npt.NDArray[np.int64]:
        """Give the stored values as (row, column); raises Unsuitable where they cannot be decoded."""
        try:
            pixels = np.asarray(self.dataset.pixel_array)
        except (AttributeError, NotImplementedError, RuntimeError, ValueError) as fault:
            raise Unsuitable(
                "The pixels of an instance cannot be decoded: they are truncated, or no decoder "
                f"of their transfer syntax is installed ({type(fault).__name__})"
            ) from fault
        return pixels[self.index] if pixels.ndim == 3 else pixels

    def intensities(self) -> npt.NDArray[np.float32]:
        """Give the rescaled values (PS3.3 C.11.1 Modality LUT): HU for CT."""
        return self.stored.astype(np.float32) * np.float32(self.slope) + np.float32(self.intercept)

    def padding(self) -> npt.NDArray[np.bool_]:
        """Mark pixels that are padding (PS3.3 C.7.5.1.1.2 Pixel Padding Value and Range Limit)."""
        value = self.dataset.get("PixelPaddingValue")
        if value is None:
            return np.zeros(self.shape, bool)
        limit = self.dataset.get("PixelPaddingRangeLimit", value)
        low, high = sorted((int(value), int(limit)))
        return (self.stored >= low) & (self.stored <= high)


def frames(dataset: pydicom.Dataset) -> Iterator[Frame]:
    """Yield the frames of one instance, each with its own place where it is an enhanced one."""
    number = int(dataset.get("InstanceNumber") or 0)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        for index in range(int(dataset.get("NumberOfFrames") or 1)):
            yield _frame(dataset, index, number + index, dataset)
        return
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    for index, group in enumerate(groups):
        yield _frame(dataset, index, index + 1, _flat(shared, group))


def _flat(shared: pydicom.Dataset, own: pydicom.Dataset) -> pydicom.Dataset:
    """Merge the macros that place and rescale a frame into one flat dataset."""
    macros = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    flat = pydicom.Dataset()
    for macro in macros:
        items = own.get(macro) or shared.get(macro)
        if items:
            flat.update(items[0])
    return flat


def _frame(image: pydicom.Dataset, index: int, number: int, place: pydicom.Dataset) -> Frame:
    """Read one frame's place from the dataset that tells it."""
    spacing = _numbers(place, "PixelSpacing", 2)
    return Frame(
        dataset=image,
        index=index,
        number=number,
        position=_numbers(place, "ImagePositionPatient", 3),
        orientation=_numbers(place, "ImageOrientationPatient", 6),
        pixel_spacing=(0.0, 0.0) if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=_number(place, "RescaleSlope", 1.0),
        intercept=_number(place, "RescaleIntercept", 0.0),
    )


def _numbers(dataset: pydicom.Dataset, keyword: str, count: int) -> Vector | None:
    """Give a multi-valued decimal; None where it is absent, empty or has another count."""
    value = dataset.get(keyword)
    if not value or len(value) != count:
        return None
    return np.array([float(number) for number in value])


def _number(dataset: pydicom.Dataset, keyword: str, default: float) -> float:
    value = dataset.get(keyword)
    return default if value in (None, "") else float(value)
