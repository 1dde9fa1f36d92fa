"""FHIRPath Patch: the corpus's cases, primitives with extensions, and what is refused."""

import json
import re

import pytest
from fhirpatch_suite import cases
from patches import fhirpath_patch as parameters
from patches import operation

from resources import definitions, fhirpath_patch
from resources.fhirpath.evaluate import Evaluator
from resources.outcome import FhirError, Invalid, TooCostly, Unprocessable

EVALUATOR = Evaluator(definitions.load())
RECORDED = 33
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"given": ["A", "B", "C"], "_given": [None, {"id": "b"}, None]}, {"family": "D"}],
    "birthDate": "1974-12-25",
    "deceasedBoolean": False,
    "contact": [{"name": {"text": "E"}}],
}


def applied(*operations, given=PATIENT):
    return fhirpath_patch.apply(EVALUATOR, given, fhirpath_patch.parse(parameters(*operations)))


def plain(resource):
    """Give a resource to compare, the narrative without the white space that XML may have around tags."""
    return re.sub(r"(\\n|\s)+", "", json.dumps(resource, sort_keys=True, default=str))


def test_the_cases_of_the_corpus_hold(corpus, capsys):
    found = list(cases(corpus / "r4" / "patch" / "fhir-patch-tests.xml"))
    left = set()
    for case in found:
        try:
            made = fhirpath_patch.apply(EVALUATOR, case.input, fhirpath_patch.parse(case.patch))
        except FhirError:
            made = None
        if plain(made) != plain(case.output):
            left.add(case.name)
    with capsys.disabled():
        print(f"\nFHIRPath Patch: {len(found) - len(left)} of {len(found)}")
    assert left == set()
    assert len(found) >= RECORDED


def test_a_list_of_primitives_keeps_its_extensions_in_step():
    found = applied(operation(type="delete", path="Patient.name[0].given[0]"))
    assert found["name"][0] == {"given": ["B", "C"], "_given": [{"id": "b"}, None]}
    found = applied(operation(type="delete", path="Patient.name[0].given[1]"))
    assert found["name"][0] == {"given": ["A", "C"]}
    found = applied(operation(type="move", path="Patient.name[0].given", source=1, destination=2))
    assert found["name"][0] == {"given": ["A", "C", "B"], "_given": [None, None, {"id": "b"}]}
    found = applied(
        operation(type="insert", path="Patient.name[0].given", index=0, value=("valueString", "Z"))
    )
    assert found["name"][0]["_given"] == [None, None, {"id": "b"}, None]


def test_a_choice_changes_its_type():
    found = applied(
        operation(type="replace", path="Patient.deceased", value=("valueDateTime", "2020"))
    )
    assert found["deceasedDateTime"] == "2020"
    assert "deceasedBoolean" not in found


def test_an_extension_is_added_to_a_primitive():
    url = operation(
        type="add",
        path="Patient.birthDate",
        name="extension",
        value=("valueExtension", {"url": "u", "valueString": "x"}),
    )
    # R4 has no valueExtension among the types of Parameters.value[x]; parts say the same
    parts = [{"name": "url", "valueUri": "u"}, {"name": "value", "valueString": "x"}]
    told = operation(type="add", path="Patient.birthDate", name="extension", value=("part", parts))
    assert applied(told)["_birthDate"] == {"extension": [{"url": "u", "valueString": "x"}]}
    assert applied(url)["_birthDate"] == applied(told)["_birthDate"]
    gone = operation(type="delete", path="Patient.birthDate.extension[0]")
    assert applied(told, gone) == PATIENT


def test_what_is_left_empty_goes_too():
    found = applied(operation(type="delete", path="Patient.contact[0].name.text"))
    assert "contact" not in found


def test_deleting_nothing_is_well_and_the_resource_given_stays():
    before = json.dumps(PATIENT)
    assert applied(operation(type="delete", path="Patient.gender")) == PATIENT
    applied(operation(type="delete", path="Patient.name[0]"))
    assert json.dumps(PATIENT) == before


def test_nested_parts_build_what_has_no_type():
    telecom = [{"name": "system", "valueCode": "phone"}, {"name": "value", "valueString": "1"}]
    parts = [
        {"name": "relationship", "valueCodeableConcept": {"text": "R"}},
        {"name": "name", "part": [{"name": "given", "valueString": n} for n in ("F", "G")]},
        {"name": "telecom", "part": telecom},
    ]
    found = applied(operation(type="add", path="Patient", name="contact", value=("part", parts)))
    assert found["contact"][1] == {
        "relationship": [{"text": "R"}],
        "name": {"given": ["F", "G"]},
        "telecom": [{"system": "phone", "value": "1"}],
    }


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"type": "delete", "path": "Patient.name"}, Unprocessable, "multiple-matches"),
        (
            {"type": "replace", "path": "Patient.gender", "value": ("valueCode", "male")},
            Unprocessable,
            "not-found",
        ),
        (
            {"type": "add", "path": "Patient.name", "name": "use", "value": ("valueCode", "old")},
            Unprocessable,
            "multiple-matches",
        ),
        (
            {"type": "add", "path": "Patient", "name": "birthDate", "value": ("valueDate", "1")},
            Unprocessable,
            None,
        ),
        (
            {"type": "add", "path": "Patient", "name": "deceased", "value": ("valueDateTime", "1")},
            Unprocessable,
            None,
        ),
        (
            {"type": "add", "path": "Patient", "name": "nothing", "value": ("valueCode", "a")},
            Unprocessable,
            None,
        ),
        (
            {"type": "add", "path": "Patient", "name": "photo", "value": ("valueCode", "a")},
            Unprocessable,
            "value",
        ),
        (
            {"type": "insert", "path": "Patient.name", "index": 3, "value": ("valueHumanName", {})},
            Unprocessable,
            "value",
        ),
        (
            {
                "type": "insert",
                "path": "Patient.birthDate",
                "index": 0,
                "value": ("valueDate", "1"),
            },
            Unprocessable,
            None,
        ),
        (
            {"type": "move", "path": "Patient.name", "source": 0, "destination": 2},
            Unprocessable,
            "value",
        ),
        ({"type": "delete", "path": "Patient"}, Unprocessable, None),
        ({"type": "delete", "path": "1 + 1"}, Unprocessable, None),
        ({"type": "delete", "path": "Patient.nmae"}, Invalid, None),
        ({"type": "delete", "path": "Observation.code"}, Invalid, None),
        ({"type": "delete", "path": "Patient."}, Invalid, None),
        ({"type": "delete"}, Invalid, "required"),
        ({"type": "spoil", "path": "Patient"}, Invalid, None),
        ({"type": "add", "path": "Patient", "value": ("valueCode", "a")}, Invalid, "required"),
        ({"type": "replace", "path": "Patient.birthDate", "value": ("url", "a")}, Invalid, None),
        ({"type": "delete", "path": "Patient", "colour": "red"}, Invalid, None),
        (
            {"type": "replace", "path": "Patient.deceased", "value": ("valueBoolean", None)},
            Invalid,
            "required",
        ),
        (
            {"type": "replace", "path": "Patient.name[0]", "value": ("valueHumanName", None)},
            Invalid,
            "required",
        ),
        (
            {
                "type": "add",
                "path": "Patient",
                "name": "contact",
                "value": ("part", [{"name": "gender", "valueCode": None}]),
            },
            Invalid,
            "required",
        ),
        (
            {"type": "insert", "path": "Patient.name", "index": True, "value": ("valueCode", "")},
            Invalid,
            "required",
        ),
        (
            {"type": "move", "path": "Patient.name", "source": False, "destination": 1},
            Invalid,
            "required",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(change, kind, code):
    with pytest.raises(kind) as refused:
        applied(operation(type="delete", path="Patient.gender"), operation(**change))
    (issue,) = refused.value.issues
    assert issue.expression == "Parameters.parameter[1]"
    assert code is None or issue.code == code


@pytest.mark.parametrize(
    "given",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": [7]},
        {"resourceType": "Parameters", "parameter": [{"name": "other", "part": []}]},
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [7]}]},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "operation", "part": [{"name": []}]}],
        },
    ],
)
def test_what_is_no_patch_is_refused(given):
    with pytest.raises(Invalid):
        fhirpath_patch.parse(given)


def test_a_part_with_two_values_is_refused():
    change = operation(type="delete", path="Patient.gender")
    change["part"][1]["valueCode"] = "Patient.birthDate"
    with pytest.raises(Invalid):
        applied(change)


def test_a_value_may_be_extensions_alone():
    unknown = [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]
    change = operation(type="replace", path="Patient.birthDate", value=("valueDate", None))
    change["part"][2]["_valueDate"] = {"extension": unknown}
    found = applied(change)
    assert found["_birthDate"] == {"extension": unknown}
    assert "birthDate" not in found


def test_paths_that_take_too_long_are_refused():
    numbers = "(1|2|3|4|5|6|7|8|9)"
    slow = f"Patient.where({numbers}{f'.select({numbers})' * 4}.exists()).gender"
    with pytest.raises(TooCostly):
        applied(*[operation(type="delete", path=slow)] * 20)
    with pytest.raises(Invalid):
        applied(operation(type="delete", path="Patient" + ".id" * 1000))
