"""Planted faults are found where they are, right resources pass (FHIR R4 validation.html)."""

import copy

import fhirkit
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.validate import Validator, validate
from resources import definitions, model

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>A note.</p></div>'
TEXT = {"status": "generated", "div": DIV}
ABSENT = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unknown",
        }
    ]
}
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "text": TEXT,
    "active": True,
    "name": [{"family": "Zorn", "given": ["Ada", "May"]}],
    "gender": "female",
    "birthDate": "1980-02-29",
    "deceasedBoolean": False,
    "contact": [{"gender": "male", "name": {"family": "Zorn"}}],
    "managingOrganization": {"reference": "Organization/1"},
    "photo": [{"contentType": "image/png", "data": "AAECAw==", "size": 4}],
}
CODE = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": CODE,
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2024-02-29T10:00:00.5+01:00",
    "issued": "2024-02-29T10:00:00Z",
    "valueQuantity": {"value": 7.5, "system": "http://unitsofmeasure.org", "code": "g/dL"},
    "referenceRange": [{"low": {"value": 1}}],
}
STUDY = {
    "resourceType": "ImagingStudy",
    "status": "available",
    "subject": {"reference": "Patient/p1"},
    "numberOfInstances": 1,
    "series": [
        {
            "uid": "1.2.3",
            "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"},
            "instance": [
                {"uid": "1.2.3.4", "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1"}}
            ],
        }
    ],
}
MEDICATION = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationReference": {"reference": "#m"},
    "subject": {"reference": "Patient/p1"},
    "contained": [{"resourceType": "Medication", "id": "m", "code": CODE}],
}
CONDITION = {
    "resourceType": "Condition",
    "subject": {"reference": "Patient/p1"},
    "clinicalStatus": {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active",
            }
        ]
    },
}
BUNDLE = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {"resource": OBSERVATION, "request": {"method": "POST", "url": "Observation"}},
    ],
}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}
ANSWER = {
    "resourceType": "Bundle",
    "type": "batch-response",
    "entry": [{"response": {"status": "200", "outcome": OUTCOME}}],
}
PARAMETERS = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "a", "valueTiming": {"repeat": {"count": 2}}},
        {"name": "b", "part": [{"name": "c", "resource": PATIENT}]},
    ],
}
COMPOSITION = {
    "resourceType": "Composition",
    "status": "final",
    "type": CODE,
    "date": "2024",
    "author": [{"reference": "Practitioner/1"}],
    "title": "Letter",
    "section": [{"title": "Outer", "section": [{"title": "Inner", "text": TEXT}]}],
}
RIGHT = (
    PATIENT,
    OBSERVATION,
    STUDY,
    MEDICATION,
    CONDITION,
    BUNDLE,
    ANSWER,
    PARAMETERS,
    COMPOSITION,
)
GONE = object()
VALIDATOR = Validator(definitions.load())


def errors(resource):
    """What refuses a resource; warnings do not."""
    return tuple(issue for issue in VALIDATOR.check(resource) if issue.severity == "error")


def planted(resource, path, value):
    """A copy of the resource with the value at a path such as contact.0.gender."""
    copied = copy.deepcopy(resource)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    held = copied
    for step in steps:
        held = held[step]
    if value is GONE:
        del held[last]
    else:
        held[last] = value
    return copied


def div(inner):
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>'


FAULTS = [
    # elements that are not there, not known, or doubled
    (OBSERVATION, "status", GONE, "required", "Observation.status"),
    (OBSERVATION, "code", GONE, "required", "Observation.code"),
    (STUDY, "series.0.uid", GONE, "required", "ImagingStudy.series[0].uid"),
    (
        STUDY,
        "series.0.instance.0.sopClass",
        GONE,
        "required",
        "ImagingStudy.series[0].instance[0].sopClass",
    ),
    (MEDICATION, "medicationReference", GONE, "required", "MedicationRequest.medication"),
    (PATIENT, "nickname", "x", "structure", "Patient.nickname"),
    (PATIENT, "contact.0.age", 3, "structure", "Patient.contact[0].age"),
    (PATIENT, "_id", ABSENT, "structure", "Patient.id"),
    (OBSERVATION, "valueMoney", {"value": 1}, "structure", "Observation.valueMoney"),
    (OBSERVATION, "value", "x", "structure", "Observation.value"),
    (OBSERVATION, "valueString", "x", "structure", "Observation.value"),
    (OBSERVATION, "_valueString", ABSENT, "structure", "Observation.value"),
    (PATIENT, "deceasedDateTime", "2020", "structure", "Patient.deceased"),
    (PARAMETERS, "parameter.0.valueString", "x", "structure", "Parameters.parameter[0].value"),
    (MEDICATION, "medicationCodeableConcept", CODE, "structure", "MedicationRequest.medication"),
    (
        PATIENT,
        "extension",
        [{"url": "http://a.example/x", "valueString": "a", "valueCode": "b"}],
        "structure",
        "Patient.extension[0].value",
    ),
    (PATIENT, "extension", [{"valueString": "a"}], "required", "Patient.extension[0].url"),
    # one or many
    (PATIENT, "name", {"family": "Z"}, "structure", "Patient.name"),
    (PATIENT, "gender", ["female"], "structure", "Patient.gender"),
    (PATIENT, "name.0.given", "Ada", "structure", "Patient.name[0].given"),
    (PATIENT, "managingOrganization", [], "structure", "Patient.managingOrganization"),
    (PATIENT, "managingOrganization", "x", "structure", "Patient.managingOrganization"),
    (PATIENT, "birthDate", {"a": 1}, "structure", "Patient.birthDate"),
    # nothing at all
    (PATIENT, "name", [], "structure", "Patient.name"),
    (PATIENT, "name", [{}], "structure", "Patient.name[0]"),
    (PATIENT, "contact.0.name", {"id": "x"}, "structure", "Patient.contact[0].name"),
    (PATIENT, "gender", None, "structure", "Patient.gender"),
    (PATIENT, "contact", [None], "structure", "Patient.contact[0]"),
    (PATIENT, "name.0.family", "", "value", "Patient.name[0].family"),
    (PATIENT, "name.0.given", ["Ada", None], "structure", "Patient.name[0].given"),
    (PATIENT, "name.0", {"_given": [None, ABSENT]}, "structure", "Patient.name[0].given"),
    (PATIENT, "name.0._given", [ABSENT], "structure", "Patient.name[0].given"),
    (PATIENT, "_maritalStatus", ABSENT, "structure", "Patient.maritalStatus"),
    (PATIENT, "_multipleBirthBoolean", {"id": "a"}, "structure", "Patient.multipleBirth"),
    # primitives
    (PATIENT, "active", "true", "value", "Patient.active"),
    (PATIENT, "birthDate", "1981-02-29", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", "1900-02-29", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", "1980-13", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", "1980-04-31", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", "29.02.1980", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", "1980-02-29T10:00:00Z", "value", "Patient.birthDate"),
    (PATIENT, "birthDate", 1980, "value", "Patient.birthDate"),
    (OBSERVATION, "effectiveDateTime", "2024-02-29T10:00Z", "value", "Observation.effective"),
    (OBSERVATION, "effectiveDateTime", "2024-02-29T10:00:00", "value", "Observation.effective"),
    (OBSERVATION, "effectiveDateTime", "2024-02-29T24:00:00Z", "value", "Observation.effective"),
    (OBSERVATION, "effectiveDateTime", "0000", "value", "Observation.effective"),
    (OBSERVATION, "issued", "2024-02-29", "value", "Observation.issued"),
    (OBSERVATION, "valueQuantity.value", "7.5", "value", "Observation.value.value"),
    (OBSERVATION, "valueQuantity.code", " g", "value", "Observation.value.code"),
    (OBSERVATION, "valueQuantity.system", "a b", "value", "Observation.value.system"),
    (PATIENT, "photo.0.data", "AAE", "value", "Patient.photo[0].data"),
    (PATIENT, "photo.0.data", "AA=CAw==", "value", "Patient.photo[0].data"),
    (PATIENT, "photo.0.size", -1, "value", "Patient.photo[0].size"),
    (PATIENT, "photo.0.size", 2_147_483_648, "value", "Patient.photo[0].size"),
    (PATIENT, "photo.0.size", 1.5, "value", "Patient.photo[0].size"),
    (PATIENT, "multipleBirthInteger", True, "value", "Patient.multipleBirth"),
    (PATIENT, "name.0.family", "a\u0007b", "value", "Patient.name[0].family"),
    (PATIENT, "name.0.family", "\ud800", "value", "Patient"),
    (PATIENT, "id", "a b", "value", "Patient.id"),
    (PATIENT, "id", "x" * 65, "value", "Patient.id"),
    (PATIENT, "contact.0.id", "a b", "value", "Patient.contact[0].id"),
    # codes of required bindings
    (PATIENT, "gender", "F", "code-invalid", "Patient.gender"),
    (PATIENT, "contact.0.gender", "Male", "code-invalid", "Patient.contact[0].gender"),
    (OBSERVATION, "status", "done", "code-invalid", "Observation.status"),
    (OBSERVATION, "valueQuantity.comparator", "=", "code-invalid", "Observation.value.comparator"),
    (
        CONDITION,
        "clinicalStatus.coding.0.code",
        "ill",
        "code-invalid",
        "Condition.clinicalStatus",
    ),
    (CONDITION, "clinicalStatus", {"text": "x"}, "code-invalid", "Condition.clinicalStatus"),
    # what a profile of a datatype forbids
    (
        OBSERVATION,
        "referenceRange.0.low.comparator",
        "<",
        "invariant",
        "Observation.referenceRange[0].low.comparator",
    ),
    (
        PARAMETERS,
        "parameter.0.valueTiming.repeat.count",
        0,
        "value",
        "Parameters.parameter[0].value.repeat.count",
    ),
    # references
    (OBSERVATION, "subject.reference", "Practitioner/1", "value", "Observation.subject.reference"),
    (OBSERVATION, "subject.reference", "Patient", "value", "Observation.subject.reference"),
    (OBSERVATION, "subject.reference", "Patient/a/b", "value", "Observation.subject.reference"),
    (OBSERVATION, "subject.reference", "patient/1", "value", "Observation.subject.reference"),
    (OBSERVATION, "subject.reference", "#p", "value", "Observation.subject.reference"),
    (OBSERVATION, "subject.reference", "Patient?a=b", "value", "Observation.subject.reference"),
    (
        OBSERVATION,
        "focus",
        [{"reference": "Nothing/1"}],
        "value",
        "Observation.focus[0].reference",
    ),
    (
        BUNDLE,
        "entry.0.resource.subject.reference",
        "Practitioner?identifier=1",
        "value",
        "Bundle.entry[0].resource.subject.reference",
    ),
    # contained resources
    (
        MEDICATION,
        "medicationReference.reference",
        "#n",
        "not-found",
        "MedicationRequest.medicationReference.reference",
    ),
    (
        MEDICATION,
        "medicationReference.reference",
        "Medication/1",
        "invariant",
        "MedicationRequest.contained[0]",
    ),
    (MEDICATION, "contained.0.id", GONE, "required", "MedicationRequest.contained[0].id"),
    (
        MEDICATION,
        "contained.0.contained",
        [{"resourceType": "Basic", "id": "b", "code": CODE}],
        "invariant",
        "MedicationRequest.contained[0].contained",
    ),
    (
        MEDICATION,
        "contained.0.meta",
        {"versionId": "1"},
        "invariant",
        "MedicationRequest.contained[0].meta.versionId",
    ),
    (
        MEDICATION,
        "contained.0.meta",
        {"security": [{"code": "R"}]},
        "invariant",
        "MedicationRequest.contained[0].meta.security",
    ),
    (
        MEDICATION,
        "contained.0.status",
        "gone",
        "code-invalid",
        "MedicationRequest.contained[0].status",
    ),
    (
        MEDICATION,
        "contained.0.resourceType",
        "Drug",
        "structure",
        "MedicationRequest.contained[0].resourceType",
    ),
    (
        MEDICATION,
        "contained",
        [MEDICATION["contained"][0], MEDICATION["contained"][0]],
        "duplicate",
        "MedicationRequest.contained[1].id",
    ),
    # resources inside resources
    (
        BUNDLE,
        "entry.0.resource.status",
        "done",
        "code-invalid",
        "Bundle.entry[0].resource.status",
    ),
    (
        BUNDLE,
        "entry.0.resource.resourceType",
        GONE,
        "required",
        "Bundle.entry[0].resource.resourceType",
    ),
    (
        ANSWER,
        "entry.0.response.outcome.issue.0.severity",
        "bad",
        "code-invalid",
        "Bundle.entry[0].response.outcome.issue[0].severity",
    ),
    (
        PARAMETERS,
        "parameter.1.part.0.resource.gender",
        "F",
        "code-invalid",
        "Parameters.parameter[1].part[0].resource.gender",
    ),
    (PATIENT, "resourceType", "Human", "structure", "Human.resourceType"),
    (PATIENT, "resourceType", "DomainResource", "structure", "DomainResource.resourceType"),
    # narratives
    (PATIENT, "text.div", DIV.replace("</p>", ""), "structure", "Patient.text.div"),
    (PATIENT, "text.div", "A note.", "structure", "Patient.text.div"),
    (PATIENT, "text.div", "<div><p>A note.</p></div>", "structure", "Patient.text.div"),
    (PATIENT, "text.div", div("&nbsp;x"), "structure", "Patient.text.div"),
    (PATIENT, "text.div", div("<p a:b='1'>x</p>"), "structure", "Patient.text.div"),
    (PATIENT, "text.div", div("<p id='a' id='b'>x</p>"), "structure", "Patient.text.div"),
    (PATIENT, "text.div", f"<!DOCTYPE div>{DIV}", "structure", "Patient.text.div"),
    (PATIENT, "text.div", div("<script>1</script>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("<iframe src='a'>x</iframe>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("<p onclick='a()'>x</p>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("<a href=' JavaScript:a()'>x</a>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("<a href='data:text/html,x'>x</a>"), "invariant", "Patient.text.div"),
    (
        PATIENT,
        "text.div",
        div("<p style='width: expression(a())'>x</p>"),
        "invariant",
        "Patient.text.div",
    ),
    (PATIENT, "text.div", div("<p contenteditable='a'>x</p>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("<a href='b' target='c'>x</a>"), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", div("  "), "invariant", "Patient.text.div"),
    (PATIENT, "text.div", GONE, "required", "Patient.text.div"),
    (
        COMPOSITION,
        "section.0.section.0.text.div",
        div("<script>1</script>"),
        "invariant",
        "Composition.section[0].section[0].text.div",
    ),
]


@pytest.mark.parametrize("resource", RIGHT, ids=lambda held: held["resourceType"])
def test_a_right_resource_has_no_issues(resource):
    assert errors(resource) == ()


@pytest.mark.parametrize(
    ("resource", "path", "value", "code", "expression"),
    FAULTS,
    ids=[f"{held[0]['resourceType']}-{held[1]}-{index}" for index, held in enumerate(FAULTS)],
)
def test_a_planted_fault_is_found_at_its_place(resource, path, value, code, expression):
    issues = errors(planted(resource, path, value))
    assert (code, expression) in {(issue.code, issue.expression) for issue in issues}
    assert {issue.severity for issue in issues} == {"error"}


@pytest.mark.parametrize(
    ("resource", "path", "value"),
    [
        (OBSERVATION, "_status", ABSENT),
        (PATIENT, "_birthDate", {"id": "b"}),
        (PATIENT, "name.0._given", [None, ABSENT]),
        (PATIENT, "deceasedBoolean", True),
        (PATIENT, "birthDate", "2000-02-29"),
        (PATIENT, "birthDate", "1980"),
        (PATIENT, "photo.0.data", "AAEC\nAw=="),
        (PATIENT, "name.0.family", " Straße\u00a0é\n"),
        (OBSERVATION, "subject.reference", "Patient/1/_history/2"),
        (OBSERVATION, "subject.reference", "https://elsewhere.example/fhir/Patient/1"),
        (OBSERVATION, "subject.reference", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        (OBSERVATION, "focus", [{"reference": "Group/1"}]),
        (OBSERVATION, "issued", "2016-12-31T23:59:60Z"),
        (BUNDLE, "entry.0.resource.subject.reference", "Patient?identifier=a|b"),
        (CONDITION, "clinicalStatus", ABSENT),
        (MEDICATION, "contained.0.manufacturer", {"reference": "#"}),
        (PATIENT, "text.div", div("<img src='data: image/png;base64,AA==' alt='x'/>")),
        (PATIENT, "text.div", div("a &amp; b &#160; <!-- c -->")),
        (PATIENT, "text.div", div("<p xml:lang='en' class='c'>x foo='1'</p>")),
        (
            PATIENT,
            "extension",
            [{"url": "http://a.example/x", "valueTiming": {"id": "a", "code": CODE}}],
        ),
    ],
)
def test_what_the_specification_allows_is_no_fault(resource, path, value):
    assert errors(planted(resource, path, value)) == ()


def test_a_required_primitive_may_be_extensions_only():
    observation = planted(OBSERVATION, "status", GONE)
    observation["_status"] = ABSENT
    assert errors(observation) == ()


def test_a_null_in_a_list_stands_where_the_other_list_has_extensions():
    patient = planted(PATIENT, "name.0.given", ["Ada", None])
    patient["name"][0]["_given"] = [None, ABSENT]
    assert errors(patient) == ()


@pytest.mark.parametrize("digits", ["4.0", "40e-1"])
def test_an_integer_is_written_without_fraction_or_exponent(digits):
    body = b'{"resourceType":"Patient","multipleBirthInteger":%s}' % digits.encode()
    (issue,) = errors(model.parse(body))
    assert (issue.code, issue.expression) == ("value", "Patient.multipleBirth")


@pytest.mark.parametrize(
    "digits", ["0.1000000000000000000000000000000000001", "1e300", "-0.0", "-0"]
)
def test_a_decimal_of_any_size_and_precision_is_right(digits):
    body = b'{"resourceType":"Basic","code":{"text":"x"},"extension":[{"url":"u:u","valueDecimal":%s}]}'
    assert errors(model.parse(body % digits.encode())) == ()


def test_no_issue_repeats_what_was_submitted():
    secret = "Zorn-4711"
    for resource, path, value, _, _ in FAULTS:
        broken = planted(resource, path, secret if isinstance(value, str) else value)
        said = " ".join(f"{issue.diagnostics} {issue.expression}" for issue in errors(broken))
        assert "4711" not in said
        assert "Ada" not in said


def test_every_fault_of_a_resource_is_told_and_none_twice():
    broken = planted(planted(PATIENT, "gender", "F"), "birthDate", "x")
    broken["contact"].append({"gender": "M"})
    issues = errors(broken)
    assert sorted(issue.expression for issue in issues) == [
        "Patient.birthDate",
        "Patient.contact[1].gender",
        "Patient.gender",
    ]
    assert len(set(issues)) == len(issues)


def test_the_issues_of_one_resource_are_bounded():
    broken = {"resourceType": "Patient", "name": [{"family": 1}] * 500}
    assert len(errors(broken)) == 100


def test_resources_nested_without_end_are_refused():
    bundle = {"resourceType": "Bundle", "type": "collection"}
    for _ in range(300):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    assert [issue.code for issue in errors(bundle)] == ["too-long"]


def test_a_rule_may_look_into_a_resource_whose_structure_is_wrong():
    entry = {"fullUrl": "http://x.org/Patient/1", "resource": {**PATIENT, "meta": "none"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry, entry]}
    assert "Bundle.entry[0].resource.meta" in {issue.expression for issue in errors(bundle)}


def test_the_message_names_the_codes_that_are_right():
    (issue,) = errors(planted(PATIENT, "gender", "F"))
    assert "female | male | other | unknown" in issue.diagnostics


def test_one_resource_can_be_checked_without_a_validator():
    (issue,) = validate({"resourceType": "Patient", "x": 1}, definitions.load())
    assert issue.code == "structure"


def test_fhirkit_finds_no_planted_fault_that_is_missed_here(record_property):
    theirs = 0
    for resource, path, value, _, _ in FAULTS:
        broken = planted(resource, path, value)
        if value != "\ud800":
            theirs += bool(refused_by_fhirkit(broken))
            assert errors(broken)
    told = f"planted faults of structure: all {len(FAULTS)} found here, {theirs} by fhirkit"
    record_property("proof", told)
    assert theirs > 40


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("id", "reference", "resourceType", "div", "_id", "extension", "value"))
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def places(value, steps=()):
    """Every place in a resource, as steps."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in items:
        yield (*steps, step)
        if isinstance(inner, dict | list):
            yield from places(inner, (*steps, step))


@given(data=st.data())
def test_no_content_makes_the_check_itself_fail(data):
    resource = copy.deepcopy(data.draw(st.sampled_from(RIGHT)))
    *steps, last = data.draw(st.sampled_from(list(places(resource))))
    held = resource
    for step in steps:
        held = held[step]
    held[last] = data.draw(JSON)
    for issue in errors(resource):
        assert issue.expression
        assert issue.diagnostics


def refused_by_fhirkit(resource):
    try:
        return [issue for issue in fhirkit.validate(resource) if issue.severity == "error"]
    except fhirkit.ParseError as fault:
        return [fault]
