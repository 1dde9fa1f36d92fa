"""Lungs on chest CT by thresholds and connected components, and what is measured inside them.

The lung volume is air-like voxels inside the body (Hu, Hoffman and Reinhardt, IEEE TMI 2001, is the
classic form), without the large airways, with vessels closed. LAA-950 is the share of lung voxels
below -950 HU (Gevenois et al., AJRCCM 1996).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ai_observations.model import Unsuitable

AIR_HU = -450.0
AIRWAY_HU = -950.0
EMPHYSEMA_HU = -950.0
BODY_HU = -300.0
COARSE_MM = 1.4
VESSEL_MM = 2.8
SMALLEST_LUNG_ML = 200.0
AIRWAY_ML = (1.0, 80.0)

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Lungs:
    """Masks in (head, back, left) order: both lungs and, of these, what is left of the midline."""

    mask: Bools
    left: Bools


def segment(hu: Floats, spacing: Spacing) -> Lungs:
    """Find the lungs of a chest CT in (head, back, left) order; raises Unsuitable if there are none."""
    air = _inside_body(hu < AIR_HU)
    factor = max(1, round(COARSE_MM / spacing[1]))
    voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000
    coarse = _large_components(air[:, ::factor, ::factor], voxel_ml * factor**2)
    airway = _airway(hu[:, ::factor, ::factor], coarse, voxel_ml * factor**2)
    closed = _close_vessels(coarse & ~airway, spacing[1] * factor)
    near = ndimage.binary_dilation(coarse & ~airway, iterations=1)
    mask = (air & _finer(near & ~airway, factor, air.shape)) | _finer(closed, factor, air.shape)
    return Lungs(mask, _left_of_midline(mask))


def _inside_body(air: Bools) -> Bools:
    """Keep the air that does not reach the border of its axial slice."""
    inside = np.zeros_like(air)
    for index, slice_ in enumerate(air):
        labels, count = ndimage.label(slice_)
        keep = np.ones(count + 1, bool)
        edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
        keep[np.unique(np.concatenate(edges))] = False
        keep[0] = False
        inside[index] = keep[labels]
    return inside


def _large_components(air: Bools, voxel_ml: float) -> Bools:
    """Keep the components that are large enough to be a lung or both."""
    labels, _ = ndimage.label(air)
    sizes = np.bincount(labels.ravel()) * voxel_ml
    large = sizes >= SMALLEST_LUNG_ML
    large[0] = False
    if not large.any():
        raise Unsuitable("No lungs are found in the series; nothing is measured")
    return np.asarray(large[labels], bool)


def _airway(hu: Floats, lungs: Bools, voxel_ml: float) -> Bools:
    """Find trachea and main bronchi: connected pure air in the middle third of the lungs' width."""
    pure = (ndimage.uniform_filter(hu, (1, 3, 3)) < AIRWAY_HU) & lungs
    labels, count = ndimage.label(pure)
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    low, high = np.quantile(columns, (1 / 3, 2 / 3))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    airway = np.zeros_like(lungs)
    for label in np.flatnonzero((sizes >= AIRWAY_ML[0]) & (sizes <= AIRWAY_ML[1])):
        centre = ndimage.center_of_mass(labels == label) if label else (0, 0, -1)
        if low <= centre[2] <= high:
            airway |= labels == label
    wall = np.ones((1, 3, 3), bool)
    return np.asarray(ndimage.binary_dilation(airway, wall, iterations=2), bool)


def _close_vessels(lungs: Bools, pixel_mm: float) -> Bools:
    """Close vessels slice by slice, then draw back from the outer surface by one pixel."""
    radius = max(1, round(VESSEL_MM / pixel_mm))
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = rows * rows + columns * columns <= radius * radius
    closed = np.zeros_like(lungs)
    for index, slice_ in enumerate(lungs):
        if slice_.any():
            padded = ndimage.binary_closing(np.pad(slice_, 2 * radius), disk)
            closed[index] = padded[2 * radius : -2 * radius, 2 * radius : -2 * radius]
            closed[index] = ndimage.binary_fill_holes(closed[index])
            closed[index] = ndimage.binary_erosion(closed[index], np.ones((3, 3), bool))
    return closed


def _finer(mask: Bools, factor: int, shape: tuple[int, ...]) -> Bools:
    """Repeat a coarse mask in plane to the full grid."""
    full = mask.repeat(factor, axis=1).repeat(factor, axis=2)
    return np.asarray(full[:, : shape[1], : shape[2]], bool)


def _left_of_midline(mask: Bools) -> Bools:
    """Divide the lungs slice by slice at the column with least lung between their outer thirds."""
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    first, last = int(columns[0]), int(columns[-1])
    low, high = first + (last - first) * 3 // 8, first + (last - first) * 5 // 8
    counts = ndimage.uniform_filter(mask.sum(axis=1).astype(np.float32), (3, 5))
    middle = (low + high) / 2
    away = np.abs(np.arange(low, high + 1) - middle) / (high - low + 1)
    split = low + np.argmin(counts[:, low : high + 1] + away, axis=1)
    return np.asarray(mask & (np.arange(mask.shape[2]) > split[:, None, None]), bool)


def body_area_cm2(hu: Floats, slice_: int, spacing: Spacing) -> float:
    """Give the area of the body's cross-section in one axial slice in square centimetres."""
    labels, _ = ndimage.label(ndimage.binary_opening(hu[slice_] > BODY_HU, iterations=2))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = ndimage.binary_fill_holes(labels == sizes.argmax())
    return float(np.count_nonzero(body)) * spacing[1] * spacing[2] / 100
