"""Scopes in plain words."""

import pytest

from smart_auth.consent import agreed, lines
from smart_auth.scopes import WORDS, parse


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("patient/*.rs", "See and search everything in the chosen patient's record"),
        ("user/ImagingStudy.r", "See imaging study records that you may use"),
        (
            "patient/Observation.d?status=final",
            "Delete observation records in the chosen patient's record, only where status is final",
        ),
    ],
)
def test_a_scope_is_told_in_words(scope, words):
    assert [line.meaning for line in lines(parse(scope))] == [words]


def test_every_word_that_is_offered_has_a_meaning():
    assert len(lines(parse(" ".join(WORDS)))) == len(WORDS)


def test_what_was_not_asked_for_cannot_be_agreed_to():
    asked = parse("openid patient/Patient.r")
    left = agreed(asked, frozenset({"patient/Patient.r", "patient/*.cruds", "fhirUser"}))
    assert left.text == "patient/Patient.r"
