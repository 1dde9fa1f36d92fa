"""Expressions compiled to closures over JSON (FHIR R4 fhirpath.html)."""

import pytest

from resources.definitions import load
from resources.fhirpath.compile import Compiler, Unsupported
from resources.fhirpath.parse import parse

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "subject": {"reference": "Patient/1"},
    "focus": [{"reference": "http://x.example/Device/2"}, {"type": "Group"}, {"display": "?"}],
    "extension": [
        {"url": "urn:a", "valueString": "one"},
        {"url": "urn:b", "valueInteger": 2},
        {"url": "urn:a", "valueCode": "three"},
    ],
    "effectivePeriod": {"start": "2024"},
    "valueQuantity": {"value": 1, "unit": "mg"},
    "component": [
        {"code": {"text": "a"}, "valueString": "x"},
        {"code": {"text": "b"}, "valueQuantity": {"value": 2}},
        {"code": {"text": "c"}},
    ],
}
PATIENT = {
    "resourceType": "Patient",
    "deceasedBoolean": False,
    "name": [{"family": "A", "given": ["B", None, "C"]}, {"use": "old", "family": "D"}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}, "malformed"],
}
QUESTIONNAIRE = {
    "resourceType": "Questionnaire",
    "item": [{"linkId": "1", "item": [{"linkId": "1.1", "item": [{"linkId": "1.1.1"}]}]}],
}
BUNDLE = {
    "resourceType": "Bundle",
    "entry": [{"fullUrl": "urn:uuid:1"}, {"resource": PATIENT}, {"resource": OBSERVATION}],
}


@pytest.fixture(scope="module")
def compiler():
    return Compiler(load())


@pytest.mark.parametrize(
    ("resource", "text", "wanted"),
    [
        (PATIENT, "Patient.name.given", [("B", "string"), ("C", "string")]),
        (PATIENT, "name.where(use = 'old').family", [("D", "string")]),
        (PATIENT, "Patient.name[1].family", [("D", "string")]),
        (PATIENT, "Patient.name[7].family", []),
        (PATIENT, "Patient.name.first().family", [("A", "string")]),
        (PATIENT, "Patient.name.given.last()", [("C", "string")]),
        (PATIENT, "Patient.telecom.where(system = 'email').value", [("2", "string")]),
        (PATIENT, "Patient.deceased", [(False, "boolean")]),
        (PATIENT, "Patient.deceased.exists() and Patient.deceased != false", [(False, "boolean")]),
        (PATIENT, "name.exists(use = 'old')", [(True, "boolean")]),
        (PATIENT, "name.exists(use = 'maiden')", [(False, "boolean")]),
        (PATIENT, "photo.empty()", [(True, "boolean")]),
        (PATIENT, "name.count()", [(2, "integer")]),
        (PATIENT, "Resource.id | Patient.gender", []),
        (PATIENT, "Observation.code", []),
        (OBSERVATION, "Observation.value", [({"value": 1, "unit": "mg"}, "Quantity")]),
        (OBSERVATION, "Observation.value as Quantity", [({"value": 1, "unit": "mg"}, "Quantity")]),
        (OBSERVATION, "(Observation.value as string)", []),
        (OBSERVATION, "Observation.value.ofType(FHIR.Quantity).unit", [("mg", "string")]),
        (OBSERVATION, "Observation.effective.as(DateTime)", []),
        (OBSERVATION, "Observation.effective", [({"start": "2024"}, "Period")]),
        (OBSERVATION, "Observation.component.value.ofType(string)", [("x", "string")]),
        (
            OBSERVATION,
            "component.where(value.exists()).code.text",
            [("a", "string"), ("b", "string")],
        ),
        (OBSERVATION, "component.where(value is Quantity).code.text", [("b", "string")]),
        (OBSERVATION, "extension('urn:a').value", [("one", "string"), ("three", "code")]),
        (OBSERVATION, "extension.where(url = 'urn:b').value", [(2, "integer")]),
        (OBSERVATION, "hasExtension('urn:b')", [(True, "boolean")]),
        (OBSERVATION, "hasExtension('urn:c')", [(False, "boolean")]),
        (OBSERVATION, "subject.where(resolve() is Device)", []),
        (OBSERVATION, "focus.where(resolve() is Group)", [({"type": "Group"}, "Reference")]),
        (
            OBSERVATION,
            "focus.where(resolve() is Device).reference",
            [("http://x.example/Device/2", "string")],
        ),
        (OBSERVATION, "status = 'final' or code.exists()", [(True, "boolean")]),
        (OBSERVATION, "status = 'final' xor code.exists()", [(True, "boolean")]),
        (OBSERVATION, "(status = 'x').not()", [(True, "boolean")]),
        (OBSERVATION, "method.text = 'x'", []),
        (OBSERVATION, "method.text = 'x' and status = 'x'", [(False, "boolean")]),
        (OBSERVATION, "method.text = 'x' implies status = 'final'", [(True, "boolean")]),
        (OBSERVATION, "{} = 1", []),
        (QUESTIONNAIRE, "Questionnaire.item.item.item.linkId", [("1.1.1", "string")]),
        (BUNDLE, "Bundle.entry[1].resource.ofType(Patient).name.family.first()", [("A", "string")]),
        (BUNDLE, "Bundle.entry.resource.ofType(Observation).status", [("final", "code")]),
        (BUNDLE, "Bundle.entry[0].resource", []),
    ],
)
def test_an_expression_gives_its_items_with_their_types(compiler, resource, text, wanted):
    assert compiler.items(parse(text), resource["resourceType"])(resource) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "Patient.nome",
        "name.given.family",
        "name.given.startsWith('x')",
        "subject.resolve()",
        "%resource.id",
        "name[$index]",
        "name.count() + 1",
        "name.first(1)",
        "name.hasExtension()",
    ],
)
def test_what_is_not_compiled_is_refused(compiler, text):
    with pytest.raises(Unsupported):
        compiler.items(parse(text), "Patient")


def test_a_choice_is_resolved_when_compiled(compiler):
    branches = compiler.branches(parse("Observation.value as Quantity"), "Observation")
    assert [[step.name for step in branch.steps] for branch in branches] == [["valueQuantity"]]
    every = compiler.branches(parse("Observation.value"), "Observation")
    assert len({branch.type for branch in every}) == len(every) == 11


def test_a_branch_knows_its_targets_and_binding(compiler):
    (subject,) = compiler.branches(parse("Observation.subject"), "Observation")
    assert set(subject.targets) == {"Patient", "Group", "Device", "Location"}
    (status,) = compiler.branches(parse("Observation.status"), "Observation")
    assert status.binding is not None
    assert status.binding.value_set == "http://hl7.org/fhir/ValueSet/observation-status"
