"""Where the slices of a series lie: order, spacing, gaps, duplicates, orientation (PS3.3 C.7.6.2)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai_observations.frames import Frame

SAME_PLACE_MM = 0.01
UNEVEN_FRACTION = 0.05
_PLANES = ("sagittal", "coronal", "axial")

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """What was found of a stack of slices.

    `located` says that every slice tells position and orientation; `spacing` (slice, row, column)
    is in mm, 0 where not told; `missing` counts slices that gaps lack, `duplicates` those at a place
    already taken, `dropped` those of another shape or orientation; `deviation_mm` is the largest
    distance of a step between slices from the usual one, gaps aside; `plane` is axial, coronal,
    sagittal, oblique or unknown.
    """

    located: bool
    spacing: tuple[float, float, float]
    affine: Matrix
    missing: int = 0
    duplicates: int = 0
    dropped: int = 0
    uneven: bool = False
    deviation_mm: float = 0.0
    plane: str = "unknown"


def largest_stack(frames: Sequence[Frame]) -> list[Frame]:
    """Give the frames of the commonest shape and orientation, as scouts and reformats differ."""
    stacks: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        turned = None if frame.orientation is None else tuple(np.round(frame.orientation, 2))
        stacks[(frame.shape, turned)].append(frame)
    return max(stacks.values(), key=len)


def examine(frames: Sequence[Frame], dropped: int = 0) -> tuple[list[int], Geometry]:
    """Give the order of the frames along their normal, duplicates left out, and their geometry."""
    if any(frame.position is None or frame.orientation is None for frame in frames):
        return _unlocated(frames, dropped)
    row_axis, column_axis, normal = _axes(frames[0])
    positions = np.array([frame.position for frame in frames], dtype=np.float64)
    heights = positions @ normal
    order, duplicates = _ordered(frames, heights)
    step, missing, deviation = _steps(heights[order])
    down, across = frames[0].pixel_spacing
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack((normal * (step or 1), column_axis * down, row_axis * across))
    affine[:3, 3] = positions[order[0]]
    return order, Geometry(
        located=True,
        spacing=(step or _thickness(frames[0]), down, across),
        affine=affine,
        missing=missing,
        duplicates=duplicates,
        dropped=dropped,
        uneven=bool(step) and deviation > UNEVEN_FRACTION * step,
        deviation_mm=deviation,
        plane=_plane(normal),
    )


def _axes(frame: Frame) -> tuple[Matrix, Matrix, Matrix]:
    """Give the unit vectors along a row, along a column, and from slice to slice."""
    orientation = np.zeros(6) if frame.orientation is None else frame.orientation
    along_row, along_column = orientation[:3], orientation[3:]
    return along_row, along_column, np.cross(along_row, along_column)


def _ordered(frames: Sequence[Frame], heights: Matrix) -> tuple[list[int], int]:
    """Sort by height, then instance number; keep the first of those at one place."""
    by_height = sorted(
        range(len(frames)), key=lambda i: (round(float(heights[i]), 3), frames[i].number)
    )
    kept: list[int] = []
    for index in by_height:
        if not kept or heights[index] - heights[kept[-1]] > SAME_PLACE_MM:
            kept.append(index)
    return kept, len(frames) - len(kept)


def _steps(heights: Matrix) -> tuple[float, int, float]:
    """Give the usual step in mm, how many slices gaps lack, and the largest deviation in mm."""
    steps = np.diff(heights)
    if not len(steps):
        return 0.0, 0, 0.0
    usual = float(np.median(steps))
    whole = np.maximum(np.round(steps / usual), 1)
    return usual, int(np.sum(whole - 1)), float(np.max(np.abs(steps - whole * usual)))


def _thickness(frame: Frame) -> float:
    """Give the slice thickness of a lone slice in mm, 0 where it is not told."""
    return float(frame.dataset.get("SliceThickness") or 0)


def _plane(normal: Matrix) -> str:
    """Name the anatomical plane; oblique where no axis is within 18 degrees of the normal."""
    axis = int(np.argmax(np.abs(normal)))
    return _PLANES[axis] if abs(normal[axis]) > 0.95 else "oblique"


def _unlocated(frames: Sequence[Frame], dropped: int) -> tuple[list[int], Geometry]:
    """Order by instance number what does not tell its place, as radiographs do not."""
    order = sorted(range(len(frames)), key=lambda index: frames[index].number)
    down, across = frames[0].pixel_spacing
    spacing = (_thickness(frames[0]), down, across)
    return order, Geometry(located=False, spacing=spacing, affine=np.eye(4), dropped=dropped)
