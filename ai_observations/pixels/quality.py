"""Technical quality of an image from its pixels: noise, signal, sharpness, saturation, collimation.

Noise is the global noise level of Christianson et al. (AJR 2015): the commonest standard deviation
in small windows; on CT in windows of soft tissue, elsewhere in windows of the brighter half.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ai_observations.volume import Volume

SAMPLED_SLICES = 9
WINDOW = 7
SOFT_TISSUE_HU = (-50.0, 150.0)
HU_OF_VACUUM = -1000.0
FLAT_FRACTION = 0.03
REPEATED_FRACTION = 0.0005
DEEPEST_BORDER = 0.4

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Some slices of a volume as (slice, row, column), what is padding there, and their range."""

    values: Floats
    valid: Bools
    low: float
    high: float

    @property
    def range(self) -> float:
        """Give the distance between the 0.1th and 99.9th percentile, at least a tiny one."""
        return max(self.high - self.low, 1e-6)


def sample(volume: Volume) -> Sample:
    """Take slices evenly from the middle four fifths of a volume."""
    count = volume.values.shape[0]
    wanted = np.linspace(0.1, 0.9, SAMPLED_SLICES) * (count - 1)
    chosen = np.unique(np.round(wanted).astype(int))
    values, valid = volume.values[chosen], ~volume.padding[chosen]
    inside = values[valid] if valid.any() else values.ravel()
    low, high = (float(value) for value in np.percentile(inside, (0.1, 99.9)))
    return Sample(values, valid, low, high)


def saturation_percent(taken: Sample, *, both_ends: bool) -> float:
    """Give the share of pixels, padding aside, at the highest value (or lowest too) in percent."""
    inside = taken.values[taken.valid]
    if not inside.size or inside.max() == inside.min():
        return 100.0
    at_end = inside == inside.max()
    if both_ends:
        at_end |= inside == inside.min()
    return 100 * float(np.mean(at_end))


def grey_level_bits(taken: Sample) -> float:
    """Give the binary logarithm of the number of distinct values in use."""
    return float(np.log2(max(1, np.unique(taken.values[taken.valid]).size)))


def noise_and_signal(taken: Sample, modality: str) -> tuple[float, float] | None:
    """Give the noise level and the signal there; None where no window is fit to judge by.

    Both are in the image's unit (HU on CT); the signal of CT counts from vacuum at -1000 HU.
    """
    size = (1, WINDOW, WINDOW)
    values = taken.values.astype(np.float64)
    mean = ndimage.uniform_filter(values, size)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(values**2, size) - mean**2, 0))
    if modality == "CT":
        usable = (taken.values >= SOFT_TISSUE_HU[0]) & (taken.values <= SOFT_TISSUE_HU[1])
    else:
        usable = taken.values > np.median(taken.values[taken.valid])
    whole = ndimage.uniform_filter((usable & taken.valid).astype(np.float32), size) > 0.999
    if np.count_nonzero(whole) < WINDOW**2:
        return None
    noise = _commonest(spread[whole])
    near = whole & (np.abs(spread - noise) <= 0.2 * noise)
    signal = float(np.median(mean[near if near.any() else whole]))
    return noise, signal - HU_OF_VACUUM if modality == "CT" else signal


def _commonest(spreads: npt.NDArray[np.float64]) -> float:
    """Give the centre of the fullest bin of a histogram up to the 90th percentile."""
    top = float(np.percentile(spreads, 90)) or 1e-9
    counts, edges = np.histogram(spreads, bins=60, range=(0, top))
    fullest = int(counts.argmax())
    return float((edges[fullest] + edges[fullest + 1]) / 2)


def sharpness(taken: Sample) -> float:
    """Give the 99th percentile of the gradient per pixel as a fraction of the intensity range."""
    if min(taken.values.shape[1:]) < 3:
        return 0.0
    down, across = np.gradient(taken.values, axis=(1, 2))
    inside = ndimage.minimum_filter(taken.valid, (1, 3, 3))
    gradient = np.hypot(down, across)[inside]
    return float(np.percentile(gradient, 99)) / taken.range if gradient.size else 0.0


def border_percent(taken: Sample) -> float:
    """Give the share of a radiograph's area behind the collimator or repeated at its edges, in percent."""
    image = taken.values[0]
    down = _border(image, taken.range) + _border(image[::-1], taken.range)
    across = _border(image.T, taken.range) + _border(image.T[::-1], taken.range)
    rows, columns = image.shape
    return float(100 * (1 - (rows - down) * (columns - across) / (rows * columns)))


def _border(image: Floats, value_range: float) -> int:
    """Count the leading lines that are flat, or that repeat the next line."""
    lines = image[: int(image.shape[0] * DEEPEST_BORDER)]
    low, high = np.percentile(lines, (5, 95), axis=1)
    flat = (high - low) < FLAT_FRACTION * value_range
    change = np.median(np.abs(np.diff(image[: len(lines) + 1], axis=0)), axis=1)
    empty = flat | (change < REPEATED_FRACTION * value_range)
    return len(lines) if empty.all() else int(np.argmin(empty))
