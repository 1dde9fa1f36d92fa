"""Volumes turned so that axes run to head, back and left (DICOM patient coordinates), and back."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ai_observations.volume import Volume

S = TypeVar("S", bound=np.generic)
_Z, _Y, _X = 2, 1, 0


@dataclass(frozen=True)
class Turn:
    """How a volume's axes are permuted and flipped to run to head, back and left."""

    axes: tuple[int, int, int]
    flips: tuple[int, ...]

    def there(self, values: npt.NDArray[S]) -> npt.NDArray[S]:
        """Turn values to (head, back, left) order; a view where it can be."""
        return np.flip(values.transpose(self.axes), self.flips)

    def back(self, values: npt.NDArray[S]) -> npt.NDArray[S]:
        """Turn values in (head, back, left) order to the volume's own order."""
        return np.flip(values, self.flips).transpose(np.argsort(self.axes))

    def spacing(self, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        """Give the spacing in (head, back, left) order in mm."""
        first, second, third = (spacing[axis] for axis in self.axes)
        return first, second, third


def turn(volume: Volume) -> Turn:
    """Find the turn from the volume's affine; an oblique volume takes the nearest axes."""
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    axes: list[int] = []
    flips: list[int] = []
    for place, direction in enumerate((_Z, _Y, _X)):
        free = [axis for axis in range(3) if axis not in axes]
        axis = max(free, key=lambda candidate: abs(directions[direction, candidate]))
        axes.append(axis)
        if directions[direction, axis] < 0:
            flips.append(place)
    return Turn((axes[0], axes[1], axes[2]), tuple(flips))
