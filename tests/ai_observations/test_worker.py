import pickle

import pytest

from ai_observations import worker
from ai_observations.model import Measured, ModelCard, Output, Selection, Unsuitable, imaging_model
from ai_observations.result import Mask, Measure


@imaging_model(
    ModelCard(
        id="made-up",
        version="1",
        title="Made up",
        accepts=Selection(modality=("CT",)),
        outputs=(
            Output("size", "Size", unit="mm", plausible=(0, 10)),
            Output("gaps", "Gaps", "integer", normal=(0, 0)),
            Output("stated", "Stated", "boolean", expected=True),
            Output("other", "Other"),
        ),
        intended_use="tests",
        method="none",
        algorithm=(),
    )
)
def made_up(volume, weights):
    return Measured(values={})


def test_every_declared_output_has_a_measure_in_the_order_declared():
    given = Measured(values={"stated": False, "size": 11.0, "gaps": 0})
    size, gaps, stated, other = worker.measures(made_up, given)
    assert "plausible" in size.note
    assert (size.abnormal, gaps.abnormal, stated.abnormal) == (None, False, True)
    assert other == Measure("other", absent="not-applicable")


def test_an_output_that_is_not_declared_is_refused():
    with pytest.raises(ValueError, match="does not declare"):
        worker.measures(made_up, Measured(values={"diagnosis": 1}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_an_error_and_not_a_value(value):
    size, *_ = worker.measures(made_up, Measured(values={"size": value}))
    assert (size.value, size.absent) == (None, "error")


def test_a_result_crosses_processes(radiograph):
    result = worker.run_model("iq-classical", radiograph)
    assert pickle.loads(pickle.dumps(result)) == result
    assert result.picture.startswith(b"\x89PNG")
    assert result.overlay is None


def test_a_refusal_crosses_processes_with_its_text():
    with pytest.raises(Unsuitable) as caught:
        worker.run_model("ct-lung-measures", [b"no DICOM"])
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is Unsuitable
    assert str(again) == str(caught.value)
    assert again.issues == caught.value.issues


def test_a_mask_is_packed_and_unpacked():
    import numpy as np

    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(Mask.of(labels, {1: "a"}).array(), labels)
