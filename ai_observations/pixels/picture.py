"""A series as one picture (PNG), windowed as a viewer would, with a mask drawn over it where there is one."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from ai_observations.volume import Volume

LONGEST_SIDE = 768
SHARE_OF_FILL = 0.28
LUNG_WINDOW = (-1350.0, 150.0)
SOFT_TISSUE_WINDOW = (-160.0, 240.0)
COLOURS = np.array(
    [(0, 0, 0), (0, 190, 255), (255, 176, 0), (120, 220, 90), (220, 90, 200)], dtype=np.float64
)

Bytes = npt.NDArray[np.uint8]


def picture_png(volume: Volume, slice_: int | None = None) -> bytes:
    """Give one slice, by default the middle one, windowed and with square pixels."""
    index = volume.values.shape[0] // 2 if slice_ is None else slice_
    grey = _grey(volume, index)
    return _png(Image.fromarray(grey), volume)


def overlay_png(volume: Volume, mask: Bytes) -> bytes:
    """Give the slice with most of the mask, each label's area tinted and its outline drawn."""
    index = int(np.count_nonzero(mask, axis=(1, 2)).argmax())
    grey, labels = _grey(volume, index), mask[index]
    painted = np.repeat(grey[..., None].astype(np.float64), 3, axis=2)
    for label in np.unique(labels[labels > 0]):
        area = labels == label
        outline = area & ~ndimage.binary_erosion(area, iterations=_outline_width(area.shape))
        colour = COLOURS[1 + (int(label) - 1) % (len(COLOURS) - 1)]
        painted[area] = (1 - SHARE_OF_FILL) * painted[area] + SHARE_OF_FILL * colour
        painted[outline] = colour
    return _png(Image.fromarray(painted.astype(np.uint8), "RGB"), volume)


def _outline_width(shape: tuple[int, ...]) -> int:
    """Give an outline's width in voxels that still shows when the picture is small."""
    return max(1, round(max(shape) / 400))


def _grey(volume: Volume, index: int) -> Bytes:
    """Window one slice to 0-255, black on white images turned to white on black."""
    values = volume.values[index]
    low, high = _window(volume)
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    if volume.header.photometric == "MONOCHROME1":
        scaled = 1 - scaled
    return np.asarray(np.round(255 * scaled), np.uint8)


def _window(volume: Volume) -> tuple[float, float]:
    """Give the values to show as black and white: a preset on CT, percentiles elsewhere."""
    if volume.header.modality == "CT":
        chest = volume.header.body_part.upper() in {"CHEST", "LUNG", "THORAX"}
        return LUNG_WINDOW if chest else SOFT_TISSUE_WINDOW
    low, high = np.percentile(volume.values, (1, 99.5))
    return float(low), float(high)


def _png(image: Image.Image, volume: Volume) -> bytes:
    """Resize to square pixels and a bounded size, and encode."""
    _, down, across = volume.spacing
    height = image.height * (down / across if down > 0 and across > 0 else 1)
    scale = LONGEST_SIDE / max(height, image.width)
    size = (max(1, round(image.width * scale)), max(1, round(height * scale)))
    out = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(out, "PNG", optimize=False)
    return out.getvalue()
