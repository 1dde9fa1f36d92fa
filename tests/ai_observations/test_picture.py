import io

import numpy as np
import pytest
from PIL import Image

from ai_observations import volume
from ai_observations.model import Selection
from ai_observations.pixels import picture


@pytest.fixture
def read(file):
    return lambda slices: volume.read([file(s) for s in slices], Selection(modality=("CT", "CR")))


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), int)


def test_pixels_are_shown_square(read, slice_):
    image = opened(picture.picture_png(read([slice_(1)])))
    assert image.shape[0] / image.shape[1] == pytest.approx((8 * 0.5) / (6 * 0.75), rel=0.01)


def test_black_on_white_is_turned_to_white_on_black(read, slice_):
    pixels = np.zeros((8, 6), np.uint16)
    pixels[:, 3:] = 4000
    radiograph = {"Modality": "CR", "PixelData": pixels.tobytes()}
    plain = opened(picture.picture_png(read([slice_(1, **radiograph)])))
    inverted = read([slice_(1, **radiograph, PhotometricInterpretation="MONOCHROME1")])
    assert plain[5, 5] < 50
    assert plain[5, -5] > 200
    assert opened(picture.picture_png(inverted))[5, 5] > 200


def test_the_slice_with_most_of_the_mask_is_drawn(read, slice_):
    dark = [slice_(n, RescaleIntercept=-1000) for n in range(3)]
    found = read(dark)
    mask = np.zeros(found.values.shape, np.uint8)
    mask[0, 1, 1] = 1
    mask[2, 2:6, 1:5] = 2
    drawn = np.asarray(Image.open(io.BytesIO(picture.overlay_png(found, mask))), int)
    assert np.mean(np.ptp(drawn, axis=2) > 50) > 0.2
