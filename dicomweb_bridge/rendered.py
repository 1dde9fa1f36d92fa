"""A frame as a picture for people: windowed, the right way round, PNG or JPEG (PS3.18 9.5, PS3.3 C.11.2)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from msgspec import Struct

from dicomweb_bridge.dicom_file import MALFORMED
from dicomweb_bridge.frames import Frames
from resources import outcome

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from pydicom.dataset import Dataset

Format = Literal["image/jpeg", "image/png"]

FORMS: tuple[Format, ...] = ("image/jpeg", "image/png")

MOST_SIDE = 8192
_WHITE = 255
_LOOKUP_TABLES = (0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223)
_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})


class Window(Struct, frozen=True):
    """A VOI window in the units of the modality: centre, width and function (PS3.3 C.11.2.1.2)."""

    centre: float
    width: float
    function: str = "LINEAR"


class View(Struct, frozen=True):
    """How to draw: a window in place of the instance's own, the viewport to fit into, JPEG quality 1-100."""

    window: Window | None = None
    viewport: tuple[int, int] | None = None
    quality: int = 90


def view(pairs: tuple[tuple[str, str], ...]) -> View:
    """Give the view that query pairs ask for (PS3.18 8.3.5.1); raises Invalid."""
    asked = dict(pairs)
    try:
        window = _window(asked["window"]) if "window" in asked else None
        viewport = _viewport(asked["viewport"]) if "viewport" in asked else None
        quality = int(asked.get("quality", "90"))
    except ValueError:
        raise outcome.Invalid(
            "window is centre,width[,function], viewport is width,height, quality is 1 to 100"
        ) from None
    return View(window, viewport, min(max(quality, 1), 100))


def _window(text: str) -> Window:
    centre, width, *rest = text.split(",")
    function = (rest[0] if rest else "LINEAR").upper().replace("-", "_")
    if function not in _FUNCTIONS or not float(width) > 0 or abs(float(centre)) == float("inf"):
        raise ValueError(function)
    return Window(float(centre), float(width), function)


def _viewport(text: str) -> tuple[int, int]:
    width, height = (int(float(part)) for part in text.split(",")[:2])
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        raise ValueError(text)
    return width, height


def picture(file: BinaryIO, number: int, asked: View, form: Format) -> bytes:
    """Give a frame, from 1, as a PNG or JPEG. Blocks; raises NotFound or NotAcceptable."""
    from PIL import Image  # noqa: PLC0415 - heavy, only when a picture is drawn

    frames = Frames(file)
    try:
        pixels = _eight_bits(frames, number, asked.window)
        image = Image.fromarray(pixels)
    except MALFORMED:
        raise outcome.NotAcceptable("The pixel data can't be rendered") from None
    return _file(_fitted(image, asked.viewport), form, asked.quality)


def _fitted(image: Image, viewport: tuple[int, int] | None) -> Image:
    """Scale into a viewport, keeping the aspect."""
    if viewport is None:
        return image
    scale = min(viewport[0] / image.width, viewport[1] / image.height)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _file(image: Image, form: Format, quality: int) -> bytes:
    target = io.BytesIO()
    if form == "image/png":
        image.save(target, "PNG", compress_level=4)
    else:
        image.save(target, "JPEG", quality=quality)
    return target.getvalue()


def _eight_bits(frames: Frames, number: int, window: Window | None) -> np.ndarray:
    """Give the frame as grey or RGB bytes."""
    from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415 - heavy, only when a picture is drawn

    dataset = frames.dataset
    array = frames.decoded(number)
    if str(dataset.get("PhotometricInterpretation", "")) == "PALETTE COLOR":
        frames.fetch(_LOOKUP_TABLES)
        array = apply_color_lut(array, dataset)
    if array.ndim == len(("rows", "columns", "samples")):
        excess = 8 * array.dtype.itemsize - 8
        return (array >> excess).astype("uint8") if excess else array.astype("uint8")
    return _grey(array, dataset, number, window)


def _grey(array: np.ndarray, dataset: Dataset, number: int, window: Window | None) -> np.ndarray:
    """Apply modality and VOI transformations and the photometric sense (PS3.3 C.7.6.3.1.2)."""
    from pydicom.pixels.processing import (  # noqa: PLC0415 - heavy, only when a picture is drawn
        apply_modality_lut,
        apply_voi_lut,
    )

    modality = _group(dataset, "PixelValueTransformationSequence", number)
    values = apply_modality_lut(array, modality).astype("float64")
    voi = _group(dataset, "FrameVOILUTSequence", number)
    chosen = window or _own_window(voi)
    if chosen is None and "VOILUTSequence" in voi:
        values = apply_voi_lut(array, voi).astype("float64")
    shade = _shaded(values, chosen or _whole_range(values))
    if str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        shade = _WHITE - shade
    return shade.round().astype("uint8")


def _group(dataset: Dataset, keyword: str, number: int) -> Dataset:
    """Give the item of a functional group that holds for a frame, the data set itself without one."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*frames[number - 1 : number], *shared[:1]]:
        if found := group.get(keyword):
            item: Dataset = found[0]
            return item
    return dataset


def _own_window(voi: Dataset) -> Window | None:
    """Give the first window that the instance itself names."""
    try:
        centre, width = (_first(voi.get(name)) for name in ("WindowCenter", "WindowWidth"))
        function = str(voi.get("VOILUTFunction") or "LINEAR")
    except (TypeError, ValueError):
        return None
    if not width >= 1:
        return None
    return Window(centre, width, function if function in _FUNCTIONS else "LINEAR")


def _first(value: Any) -> float:
    """Give the first of one or several decimals; raises TypeError for none."""
    return float(value[0] if isinstance(value, Sequence) and value else value)


def _whole_range(values: np.ndarray) -> Window:
    """Give a window over what is there, but for the outermost half per cent at either end."""
    import numpy as np  # noqa: PLC0415 - heavy, only when a picture is drawn

    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    return Window((low + high) / 2, max(high - low, 1.0), "LINEAR_EXACT")


def _shaded(values: np.ndarray, window: Window) -> np.ndarray:
    """Map values to 0-255 by a window's function (PS3.3 C.11.2.1.2.1 to C.11.2.1.3.2)."""
    import numpy as np  # noqa: PLC0415 - heavy, only when a picture is drawn

    if window.function == "SIGMOID":
        power = np.clip(-4 * (values - window.centre) / window.width, -700, 700)
        return _WHITE / (1 + np.exp(power))
    if window.function == "LINEAR" and window.width > 1:
        part = (values - (window.centre - 0.5)) / (window.width - 1) + 0.5
    else:
        part = (values - window.centre) / window.width + 0.5
    return np.clip(part, 0, 1) * _WHITE
