"""Image quality of the three real studies, and of images made worse on purpose."""

import dataclasses

import numpy as np
import pytest

from ai_observations import registry, volume, worker
from ai_observations.pixels import quality


def measured(instances):
    return {m.key: m for m in worker.run_model("iq-classical", instances).measures}


def test_a_whole_ct_is_even_complete_and_sharp_enough_to_measure(chest_ct):
    found = measured(chest_ct)
    assert found["iq-slices"].value == 133
    assert found["iq-plane"].value == "axial"
    assert found["iq-missing-slices"].value == 0
    assert found["iq-evenly-spaced"].value is True
    assert 5 < found["iq-noise-hu"].value < 30
    assert found["iq-snr"].value > 30
    assert found["iq-border"].absent == "not-applicable"


def test_a_gap_and_a_duplicate_in_a_real_series_are_abnormal(chest_ct):
    found = measured([*chest_ct[:40], *chest_ct[43:60], chest_ct[50]])
    assert (found["iq-missing-slices"].value, found["iq-missing-slices"].abnormal) == (3, True)
    assert (found["iq-duplicate-slices"].value, found["iq-duplicate-slices"].abnormal) == (1, True)


def test_a_radiograph_with_pixel_spacing_zero_is_flagged_and_has_no_slice_geometry(radiograph):
    found = measured(radiograph)
    assert found["iq-pixel-spacing-stated"].value is False
    assert found["iq-pixel-spacing-stated"].abnormal is True
    assert found["iq-view-stated"].abnormal is False
    assert found["iq-plane"].value == "projection"
    assert found["iq-missing-slices"].absent == "not-applicable"
    assert found["iq-noise-hu"].absent == "not-applicable"


def test_an_mr_has_no_noise_in_hu(brain_t1):
    found = measured(brain_t1)
    assert found["iq-noise-hu"].absent == "not-applicable"
    assert found["iq-grey-levels"].value < 8


@pytest.fixture(scope="module")
def ct(chest_ct):
    return volume.read(chest_ct, registry.find("iq-classical").accepts)


def changed(ct, values):
    return quality.sample(dataclasses.replace(ct, values=np.asarray(values, np.float32)))


def test_added_noise_is_measured(ct):
    before, _ = quality.noise_and_signal(quality.sample(ct), "CT")
    noise = np.random.default_rng(7).normal(0, 20, ct.values.shape)
    after, _ = quality.noise_and_signal(changed(ct, ct.values + noise), "CT")
    assert after == pytest.approx(np.hypot(before, 20), rel=0.15)


def test_blur_lowers_sharpness(ct):
    from scipy import ndimage

    chosen = dataclasses.replace(ct, values=ct.values[60:63], padding=ct.padding[60:63])
    sharp = quality.sharpness(quality.sample(chosen))
    soft = quality.sharpness(changed(chosen, ndimage.uniform_filter(chosen.values, (1, 5, 5))))
    assert soft < 0.7 * sharp


def test_clipping_is_measured_as_saturation(ct):
    clipped = changed(ct, np.minimum(ct.values, 0))
    assert quality.saturation_percent(quality.sample(ct), both_ends=False) < 0.1
    assert quality.saturation_percent(clipped, both_ends=False) > 10


def test_padding_counts_neither_as_noise_nor_as_range(ct):
    taken = quality.sample(ct)
    assert taken.low > -1100
    assert not taken.valid.all()


def test_a_flat_border_is_measured(radiograph):
    read = volume.read(radiograph, registry.find("iq-classical").accepts)
    before = quality.border_percent(quality.sample(read))
    values = read.values.copy()
    values[:, :400] = 30000
    after = quality.border_percent(quality.sample(dataclasses.replace(read, values=values)))
    assert before < 2
    assert after == pytest.approx(100 * 400 / values.shape[1], abs=2)


def test_a_blank_image_is_saturated_and_its_noise_is_unknown(file, slice_):
    found = measured([file(slice_(1, PixelData=b"\0" * 96))])
    assert found["iq-saturation"].abnormal is True
    assert found["iq-snr"].absent == "unknown"
