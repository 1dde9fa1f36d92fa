import pytest

from ai_observations.model import Measured, ModelCard, Output, Selection, imaging_model


def card(*outputs: Output) -> ModelCard:
    return ModelCard(
        id="m",
        version="1",
        title="M",
        accepts=Selection(modality=("MR",), body_part=("BRAIN",), excludes=r"\bt2\b"),
        outputs=outputs,
        intended_use="tests",
        method="none",
        algorithm=(),
    )


def test_a_decorated_function_is_the_model_and_can_be_called():
    @imaging_model(card(Output("a", "A")))
    def model(volume, weights):
        return Measured(values={"a": len(weights)})

    assert model.name == "m/1"
    assert model(None, {}).values == {"a": 0}


def test_one_key_for_two_outputs_is_refused():
    with pytest.raises(ValueError, match="one output twice"):
        imaging_model(card(Output("a", "A"), Output("a", "B")))


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (("MR", "BRAIN", "T1 MPRAGE"), ""),
        (("MR", "", "T1 MPRAGE"), ""),
        (("MR", "brain", ""), ""),
        (("CT", "BRAIN", ""), "modality"),
        (("MR", "KNEE", ""), "body part"),
        (("MR", "BRAIN", "AX T2 TSE"), "description"),
    ],
)
def test_a_series_is_refused_for_the_reason_that_applies(series, reason):
    told = card().accepts.refuses(*series)
    assert bool(told) == bool(reason)
    assert reason in told


def test_an_output_has_our_own_code_beside_the_standard_one():
    from ai_observations import coding

    output = Output("a", "A", standard=coding.VOLUME)
    assert [code.system for code in output.codings] == [coding.SNOMED, coding.OWN]
    assert [code.code for code in Output("b", "B").codings] == ["b"]
