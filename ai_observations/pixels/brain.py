"""Brain mask of a T1 head volume by two 3D networks: one finds where the brain is, one draws it.

The networks are deepbet's (Fisch et al., Computers in Biology and Medicine 2024); what happens before
and after them is written here to their input contract: nearest-neighbour grids of 128 and 256 voxels
a side over a volume in (right, front, head) order, intensities between the 0.5th and 99.5th
percentile, standardised and then shifted to mean 0.449 and standard deviation 0.226.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ai_observations.model import Unsuitable

COARSE, FINE = 128, 256
MARGIN = 0.1
FOREGROUND_FRACTION = 0.02
THRESHOLD = 0.5
MEAN, DEVIATION = 0.449, 0.226
PERCENTILES = (0.005, 0.995)

S = TypeVar("S", bound=np.generic)
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Run = Callable[[Floats], Floats]
Box = tuple[slice, slice, slice]


def mask(head: Floats, locate: Run, draw: Run) -> Bools:
    """Give the brain mask of a head in (right, front, head) order; raises Unsuitable if none is found."""
    head = np.nan_to_num(head)
    small = resample(head, (COARSE, COARSE, COARSE))
    low, high = (float(value) for value in np.quantile(small, PERCENTILES))
    if high <= low:
        raise Unsuitable("The series has no contrast; nothing is measured")
    found = largest_component(_probability(locate, standardised(small, low, high)) > THRESHOLD)
    box = bounding_box(found, head.shape)
    crop = resample(head[box], (FINE, FINE, FINE))
    drawn = _probability(draw, standardised(crop, low, high))
    inside = head[box].shape
    brain = np.zeros(head.shape, bool)
    whole = largest_component(resample(drawn, inside) > THRESHOLD)
    brain[box] = ndimage.binary_fill_holes(whole)
    return brain


def _probability(network: Run, values: Floats) -> Floats:
    """Run a network on one volume and give its second channel, the brain."""
    return np.asarray(network(values[None, None])[0, 1])


def resample(values: npt.NDArray[S], shape: tuple[int, ...]) -> npt.NDArray[S]:
    """Take the nearest voxel for the centre of each voxel of a grid of another shape."""
    indexes = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)
        for old, new in zip(values.shape, shape, strict=True)
    ]
    return np.asarray(values[np.ix_(*indexes)])


def standardised(values: Floats, low: float, high: float) -> Floats:
    """Clip between two intensities and give the mean and deviation that the networks learned with."""
    clipped = np.clip((values - low) / (high - low), 0, 1)
    spread = float(clipped.std(ddof=1, dtype=np.float64)) or 1.0
    centred = (clipped - clipped.mean(dtype=np.float64)) / spread
    return np.asarray(DEVIATION * centred + MEAN, np.float32)


def largest_component(found: Bools) -> Bools:
    """Keep the largest component (26 neighbours); raises Unsuitable if nothing was found."""
    labels, count = ndimage.label(found, np.ones((3, 3, 3)))
    if not count:
        raise Unsuitable("No brain is found in the series; nothing is measured")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax(), bool)


def bounding_box(found: Bools, shape: tuple[int, ...]) -> Box:
    """Give the box round a coarse mask in a finer grid, wider by a margin on each side."""
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(found.mean(axis=others) > FOREGROUND_FRACTION)
        if not len(filled):
            raise Unsuitable("What is found in the series is too small for a brain")
        scale = shape[axis] / found.shape[axis]
        first, last = int(filled[0]), int(filled[-1]) + 1
        centre = round((first + last) / 2 * scale)
        size = round((last - first) * scale * (1 + 2 * MARGIN))
        start, stop = max(0, int(centre - size / 2)), min(shape[axis], int(centre + size / 2))
        slices.append(slice(start, stop))
    return slices[0], slices[1], slices[2]
