"""The lungs of a real chest CT, read from DICOM, against the labels that ship with it."""

import numpy as np
import pytest

from ai_observations import worker
from ai_observations.model import Unsuitable
from fhir_server.demo import images, nifti

LEFT, RIGHT = (10, 11), (12, 13, 14)


@pytest.fixture(scope="module")
def result(cache, chest_ct):
    return worker.run_model("ct-lung-measures", chest_ct, cache)


@pytest.fixture(scope="module")
def values(result):
    return {measure.key: measure.value for measure in result.measures}


@pytest.fixture(scope="module")
def labels(cache):
    """The reference labels in the order of the DICOM volume: feet first, front first, right first."""
    image = nifti.read(images.folder(cache) / images.CHEST_CT_LABELS)
    return image.values.transpose(2, 1, 0)[:, ::-1]


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def ml(mask):
    return np.count_nonzero(mask) * 0.703125**2 * 2.5 / 1000


def test_both_lungs_agree_with_the_reference(result, labels):
    assert dice(result.mask.array() > 0, np.isin(labels, LEFT + RIGHT)) >= 0.975


@pytest.mark.parametrize(("label", "lobes"), [(1, RIGHT), (2, LEFT)])
def test_each_lung_agrees_with_the_reference(result, labels, label, lobes):
    assert dice(result.mask.array() == label, np.isin(labels, lobes)) >= 0.97


@pytest.mark.parametrize(
    ("key", "lobes"),
    [
        ("lung-volume", LEFT + RIGHT),
        ("lung-volume-left", LEFT),
        ("lung-volume-right", RIGHT),
    ],
)
def test_each_volume_is_within_5_percent_of_the_references(values, labels, key, lobes):
    assert values[key] == pytest.approx(ml(np.isin(labels, lobes)), rel=0.05)


def test_attenuation_is_that_of_the_reference_lungs(cache, values, labels):
    image = nifti.read(images.folder(cache) / images.CHEST_CT)
    hu = image.values.transpose(2, 1, 0)[:, ::-1] * image.slope + image.intercept
    inside = hu[np.isin(labels, LEFT + RIGHT)]
    assert values["lung-attenuation-mean"] == pytest.approx(inside.mean(), abs=10)
    assert values["lung-attenuation-p15"] == pytest.approx(np.percentile(inside, 15), abs=5)
    assert values["lung-laa-950"] == pytest.approx(100 * np.mean(inside < -950), abs=0.5)


def test_the_body_is_as_wide_as_a_body(values):
    assert 400 < values["body-area"] < 900


def test_the_overlay_draws_the_mask_in_colour(result):
    import io

    from PIL import Image

    plain = np.asarray(Image.open(io.BytesIO(result.picture)).convert("RGB"), int)
    drawn = np.asarray(Image.open(io.BytesIO(result.overlay)), int)
    assert np.ptp(plain, axis=2).max() == 0
    assert np.mean(np.ptp(drawn, axis=2) > 20) > 0.15


def test_a_ct_with_a_gap_is_refused(cache, chest_ct):
    with pytest.raises(Unsuitable, match="2 slices of the series are missing"):
        worker.run_model("ct-lung-measures", chest_ct[:50] + chest_ct[52:], cache)


def test_a_part_of_the_body_without_lungs_is_refused(cache, chest_ct):
    from ai_observations import volume
    from ai_observations.pixels import lungs
    from ai_observations.registry import find

    read = volume.read(chest_ct[:40], find("ct-lung-measures").accepts)
    with pytest.raises(Unsuitable, match="No lungs"):
        lungs.segment(np.where(read.values < -200, -1000, 40).astype(np.float32), read.spacing)


def test_a_radiograph_and_an_mr_are_refused(cache, radiograph, brain_t1):
    for instances in (radiograph, brain_t1[:3]):
        with pytest.raises(Unsuitable, match="modality is not CT"):
            worker.run_model("ct-lung-measures", instances, cache)
