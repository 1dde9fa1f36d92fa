"""Full text: what a word is, how a search is read, what it finds (FHIR R4 search.html#content)."""

import pytest

from fhir_server.search import fulltext
from fhir_server.search.expression import And, Expression, FullText, Or
from fhir_server.search.full_text_values import LONGEST, Texts
from fhir_server.search.index_values import with_text
from fhir_server.search.values import ELSEWHERE
from resources import definitions
from resources.fhirpath.steps import Tree
from resources.outcome import Invalid, TooCostly

TEXTS = Texts(definitions.load())


def values(resource):
    return with_text(Tree(), TEXTS, resource["resourceType"], "").whole(resource)


def holds(node: Expression, found) -> bool:
    match node:
        case And(parts):
            return all(holds(part, found) for part in parts)
        case Or(parts):
            return any(holds(part, found) for part in parts)
        case _:
            return fulltext.found(node, found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Metastases, in the Liver.", ["metastases", "in", "the", "liver"]),
        ("Müller-Lüdenscheidt", ["muller", "ludenscheidt"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("8867-4 a_b", ["8867", "4", "a", "b"]),
        ("肺炎の疑い", ["肺", "炎", "の", "疑", "い"]),
        ("x" * 70, ["x" * 64, "x" * 6]),
        (" \t.,;", []),
    ],
)
def test_a_word_is_letters_and_digits_without_case_and_accents(text, found):
    assert fulltext.words(text) == found


NODULE = {
    "resourceType": "DiagnosticReport",
    "text": {
        "status": "generated",
        "div": '<div xmlns="x"><p class="y">Small <b>nodule</b> &amp; scar</p></div>',
    },
    "conclusion": "Bone metastases; liver clear",
    "code": {"text": "CT Thorax", "coding": [{"system": "http://loinc.org", "code": "24627-2"}]},
    "subject": {"reference": "Patient/p1", "display": "Ann Ärger"},
    "presentedForm": [{"data": "c2VjcmV0", "url": "http://x.org/secretplace"}],
    "contained": [{"resourceType": "Observation", "note": [{"text": "contained words"}]}],
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("nodule", True),
        ("NODULE scar", True),
        ("small nodule scar", True),
        ('"nodule scar"', True),
        ('"small scar"', False),
        ("metast*", True),
        ("metast", False),
        ('"bone metas"*', True),
        ("(brain OR liver) and metastases", True),
        ("brain OR liver and metastases", True),
        ("(brain or lung) AND metastases", False),
        ("arger", True),
        ("24627-2", True),
        ("ct thorax", True),
        ("contained", True),
        ("secretplace", False),
        ("c2VjcmV0", False),
        ("loinc", False),
        ("p1", False),
        ("class", False),
    ],
)
def test_content_is_everything_that_is_written(asked, expected):
    assert holds(fulltext.lower("content", asked), values(NODULE)) is expected


@pytest.mark.parametrize(
    ("asked", "expected"), [("nodule", True), ("metastases", False), ("contained", False)]
)
def test_text_is_the_narrative_alone(asked, expected):
    assert holds(fulltext.lower("narrative", asked), values(NODULE)) is expected


def test_a_phrase_does_not_lead_from_the_narrative_into_the_rest():
    found = values(NODULE)
    assert found.narrative.endswith("scar")
    across = FullText("content", ("scar", found.content.split()[0]))
    assert not fulltext.found(across, found)


@pytest.mark.parametrize("asked", ['"', "(a", "a)", "a OR", "AND a", "a AND", "()", "*", "-"])
def test_what_cannot_be_read_is_refused_without_an_echo(asked):
    with pytest.raises(Invalid) as fault:
        fulltext.lower("content", asked)
    assert "written" in fault.value.issues[0].diagnostics


def test_very_many_terms_are_too_costly():
    with pytest.raises(TooCostly):
        fulltext.lower("content", "a " * 65)
    deep = fulltext.lower("content", "(" * 20 + "a" + ")" * 20)
    assert deep == FullText("content", ("a",))


def test_references_that_no_parameter_covers_are_kept():
    resource = {
        "resourceType": "Account",
        "coverage": [{"coverage": {"reference": "Coverage/c1"}}],
        "text": {"status": "empty", "div": "<div/>"},
    }
    (value,) = values(resource).references
    assert value.atom == f"Account.{ELSEWHERE}"
    assert (value.type, value.id) == ("Coverage", "c1")


def test_of_a_very_long_text_the_beginning_is_looked_at():
    note = [{"text": "word " * 200_000 + "end"}]
    found = values({"resourceType": "Observation", "note": note, "text": {"div": "<div>x</div>"}})
    assert len(found.content) <= LONGEST
    assert not holds(fulltext.lower("content", "end"), found)
    assert holds(fulltext.lower("content", "word x"), found)
