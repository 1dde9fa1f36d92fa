"""The official R4 FHIRPath suite: its score is printed and never falls, what is left is told by name."""

import contextlib
import io
from decimal import Decimal

import fhirpathpy
import pytest
from fhirpath_suite import STRICT, cases, outcome, resource, shown
from fhirpathpy.models import models

from resources import definitions
from resources.fhirpath.evaluate import Evaluator

RECORDED = 931
LEFT = {
    # the fraction of a second counts, as FHIRPath N1 6.6.7 says of everything above seconds only
    "testPlusDate19",
    # 0.0034 lies between 0.0 and 0.1, as 1.587 does between 1.58 and 1.59 in the suite's other tests
    "LowBoundaryDecimal15",
    "HighBoundaryDecimal15",
    "HighBoundaryDecimal16",
}


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(definitions.load())


@pytest.fixture(scope="module")
def folder(corpus):
    return corpus / "r4" / "fhirpath"


@pytest.fixture(scope="module")
def inputs(folder):
    return {name: resource(folder, name) for name in {case.input for case in cases(folder)}}


def test_the_official_suite_holds_but_for_what_is_listed(
    folder, inputs, evaluator, record_property
):
    found = [(case, outcome(evaluator, case, inputs[case.input])) for case in cases(folder)]
    held = sum(reason is None for _, reason in found)
    record_property("proof", f"official FHIRPath suite of R4: {held} of {len(found)} tests hold")
    assert {case.name: reason for case, reason in found if reason}.keys() == LEFT
    assert held >= RECORDED


def test_where_another_engine_answers_otherwise_the_suite_says_as_we_do(folder, inputs, evaluator):
    agreed = 0
    for case in cases(folder):
        if case.invalid or case.name in LEFT:
            continue
        given = inputs[case.input]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                theirs = fhirpathpy.evaluate(floats(given), case.expression, None, models["r4"])
        except Exception:  # noqa: BLE001 - what the other engine does not support ends in any fault
            continue
        ours = [shown(item) for item in evaluator.items(case.expression, given, STRICT)]
        if same(ours, theirs):
            agreed += 1
        else:
            assert outcome(evaluator, case, given) is None
    assert agreed >= 750


def floats(value):
    if isinstance(value, dict):
        return {name: floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [floats(part) for part in value]
    return float(value) if isinstance(value, Decimal) else value


def same(ours, theirs):
    return len(ours) == len(theirs) and all(map(equal, ours, theirs))


def equal(text, value):
    if isinstance(value, float | Decimal):
        return Decimal(text) == Decimal(str(value))
    return text == (str(value).lower() if isinstance(value, bool) else str(value))
