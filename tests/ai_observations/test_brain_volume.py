"""The brain of a real T1 volume, read from DICOM, by the real network."""

import numpy as np
import pytest

from ai_observations import registry, volume, worker
from ai_observations.model import Unsuitable
from ai_observations.pixels import brain
from fhir_server.demo import images, nifti


@pytest.fixture(scope="module")
def result(cache, brain_t1):
    return worker.run_model("brain-volume", brain_t1, cache)


def reference(cache):
    """The brain mask that ships with Colin27; of MNI152, which is the brain alone, all of it."""
    source = images.brain_source(cache)
    path = images.folder(cache) / images.COLIN27_BRAIN
    image = nifti.read(path if source.name == "ch2.nii" else source)
    return (image.values > 0).transpose(2, 1, 0)[:, ::-1, ::-1]


def test_the_mask_agrees_with_the_one_that_ships_with_the_volume(cache, result):
    drawn, expected = result.mask.array() > 0, reference(cache)
    overlap = np.count_nonzero(drawn & expected)
    assert 2 * overlap / (drawn.sum() + expected.sum()) >= 0.93


def test_the_volume_is_one_that_a_head_can_hold_and_that_of_the_mask(result):
    (measure,) = result.measures
    assert 1000 < measure.value < 2000
    assert measure.value == pytest.approx(np.count_nonzero(result.mask.array()) / 1000)
    assert measure.note == ""


def test_the_same_pixels_give_the_same_result(cache, brain_t1, result):
    again = worker.run_model("brain-volume", brain_t1[::-1], cache)
    assert again.input_sha256 == result.input_sha256
    assert again.measures[0].value == pytest.approx(result.measures[0].value, rel=1e-3)


def test_a_t2_series_is_refused_by_its_description(cache, brain_t1):
    import io

    import pydicom

    files = []
    for data in brain_t1[:2]:
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.SeriesDescription = "AX T2 FLAIR"
        out = io.BytesIO()
        dataset.save_as(out)
        files.append(out.getvalue())
    with pytest.raises(Unsuitable, match="description"):
        worker.run_model("brain-volume", files, cache)


def test_too_few_slices_are_refused(cache, brain_t1):
    with pytest.raises(Unsuitable, match="at least 60"):
        worker.run_model("brain-volume", brain_t1[:20], cache)


def test_an_empty_volume_is_refused_before_a_network_runs():
    def never(values):
        raise AssertionError

    with pytest.raises(Unsuitable, match="no contrast"):
        brain.mask(np.zeros((60, 60, 60), np.float32), never, never)


def test_a_network_that_finds_nothing_is_no_brain():
    def nothing(values):
        return np.zeros((1, 2, *values.shape[2:]), np.float32)

    head = np.random.default_rng(1).random((40, 40, 40), np.float32)
    with pytest.raises(Unsuitable, match="No brain"):
        brain.mask(head, nothing, nothing)


def test_resampling_takes_the_nearest_centre():
    values = np.arange(4)
    assert brain.resample(values, (2,)).tolist() == [1, 3]
    assert brain.resample(values, (8,)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert brain.resample(values, (4,)).tolist() == [0, 1, 2, 3]


def test_standardised_values_have_the_mean_and_deviation_of_the_training():
    values = brain.standardised(np.arange(1000, dtype=np.float32), 0, 1000)
    assert values.mean() == pytest.approx(0.449, abs=1e-4)
    assert values.std(ddof=1) == pytest.approx(0.226, abs=1e-4)


def test_a_gpu_without_memory_falls_back_to_the_cpu_and_says_so(cache, monkeypatch):
    import torch

    from ai_observations import runtime

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")

    class Loaded:
        def __init__(self, path, device):
            if device.type == "cuda":
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runtime, "Network", Loaded)
    done, device, notes = runtime.on_best_device(lambda load: load("weights") and "done")
    assert (done, device) == ("done", "cpu")
    assert "memory was too short" in notes[0]


def test_the_mask_lies_in_the_order_of_the_series_whatever_its_orientation(brain_t1):
    from ai_observations.pixels import anatomical

    read = volume.read(brain_t1[:70], registry.find("brain-volume").accepts)
    turn = anatomical.turn(read)
    assert turn.axes == (0, 1, 2)
    assert turn.flips == ()
    assert np.array_equal(turn.back(turn.there(read.values)), read.values)
