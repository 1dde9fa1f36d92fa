"""NIfTI-1 single files as arrays with an affine (nifti1.h, NIMH 2003): what the demo's images need."""

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 256: "i1", 512: "u2", 768: "u4"}
_HEADER = 348


class NotNifti(ValueError):
    """The file is not a NIfTI-1 single file of a kind that is read here."""


@dataclass(frozen=True)
class Image:
    """Values (x, y, z) as stored, what scales them, and the affine from indexes to mm (RAS).

    A value in its own unit is `stored * slope + intercept`; mm run to the right, front and head.
    """

    values: npt.NDArray[np.generic]
    affine: npt.NDArray[np.float64]
    slope: float
    intercept: float


def read(path: Path) -> Image:
    """Read a `.nii` or `.nii.gz` file of three dimensions; raises NotNifti for any other."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < _HEADER or data[344:347] != b"n+1":
        raise NotNifti(f"{path.name} is not a NIfTI-1 single file")
    order = "<" if struct.unpack_from("<i", data)[0] == _HEADER else ">"
    dimensions = struct.unpack_from(order + "8h", data, 40)
    kind = struct.unpack_from(order + "h", data, 70)[0]
    if dimensions[0] != 3 or kind not in _TYPES:
        raise NotNifti(f"{path.name} is not a volume of integers or floats of three dimensions")
    offset = int(struct.unpack_from(order + "f", data, 108)[0])
    shape = dimensions[1:4]
    values = np.frombuffer(data, order + _TYPES[kind], int(np.prod(shape)), offset)
    slope, intercept = _scale(data, order)
    return Image(values.reshape(shape, order="F"), _affine(data, order, path), slope, intercept)


def _scale(data: bytes, order: str) -> tuple[float, float]:
    """Give slope and intercept; a slope of 0 or NaN means that values are not scaled."""
    slope, intercept = struct.unpack_from(order + "ff", data, 112)
    return (1.0, 0.0) if slope == 0 or math.isnan(slope) else (slope, intercept)


def _affine(data: bytes, order: str, path: Path) -> npt.NDArray[np.float64]:
    """Give the affine of the sform (method 3), the only one that the demo's images need."""
    if struct.unpack_from(order + "h", data, 254)[0] <= 0:
        raise NotNifti(f"{path.name} has no sform affine")
    rows = np.array(struct.unpack_from(order + "12f", data, 280), dtype=np.float64)
    return np.vstack((rows.reshape(3, 4), (0, 0, 0, 1)))
