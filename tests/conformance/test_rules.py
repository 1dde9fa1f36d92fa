"""Rules that R4 states in words: on Bundles, ids, extensions, definitions; and what settings decide."""

import pytest

from conformance.checks import Policy
from conformance.validate import Validator
from resources import definitions

DEFINITIONS = definitions.load()
VALIDATOR = Validator(DEFINITIONS)
BASIC = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
PATIENT = {"resourceType": "Patient", "id": "p", "active": True}
UPPER = "urn:uuid:0C3151BD-1CBF-4D64-B04D-CD9187A4C6E0"
UUID = UPPER.lower()
SERVER = "http://a.example/fhir"
MODIFIER = {"url": "http://a.example/m", "valueCode": "x"}


def issues(resource, severity="error", validator=VALIDATOR):
    return [(i.code, i.expression) for i in validator.check(resource) if i.severity == severity]


def bundle(type_, *entries, **more):
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries), **more}


def composition(**more):
    return {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "x"},
        "date": "2024",
        "author": [{"reference": "Practitioner/1"}],
        "title": "x",
        **more,
    }


def document(*entries):
    identifier = {"system": "urn:ids", "value": "1"}
    return bundle("document", *entries, identifier=identifier, timestamp="2024-01-01T00:00:00Z")


def placed(resource, base=SERVER):
    return {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}


DOCTOR = {"resourceType": "Practitioner", "id": "1", "active": True}


@pytest.mark.parametrize(
    ("resource", "code", "expression"),
    [
        (
            {**PATIENT, "name": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]},
            "duplicate",
            "Patient.name[1].id",
        ),
        (
            {**PATIENT, "_active": {"id": "a"}, "name": [{"id": "a", "text": "y"}]},
            "duplicate",
            "Patient.name[0].id",
        ),
        (
            {**PATIENT, "extension": [{"url": "a/b", "valueCode": "x"}]},
            "value",
            "Patient.extension[0].url",
        ),
        (
            {**PATIENT, "_active": {"extension": [{"url": "a", "valueCode": "x"}]}},
            "value",
            "Patient.active.extension[0].url",
        ),
        ({**PATIENT, "extension": [{"url": "u:u"}]}, "invariant", "Patient.extension[0]"),
        (
            {**PATIENT, "extension": [{"url": "u:u", "valueCode": "x", "extension": [MODIFIER]}]},
            "invariant",
            "Patient.extension[0]",
        ),
        ({**PATIENT, "implicitRules": UPPER}, "value", "Patient.implicitRules"),
        ({**PATIENT, "implicitRules": UUID[:-1]}, "value", "Patient.implicitRules"),
        ({**PATIENT, "implicitRules": "urn:uuid:"}, "value", "Patient.implicitRules"),
        (
            bundle("collection", {"fullUrl": "Basic/b", "resource": BASIC}),
            "invariant",
            "Bundle.entry[0]",
        ),
        (bundle("collection", placed(BASIC), placed(BASIC)), "invariant", "Bundle"),
        (bundle("transaction", {"resource": BASIC}), "invariant", "Bundle"),
        (bundle("transaction-response", {"resource": BASIC}), "invariant", "Bundle"),
        (
            bundle(
                "searchset",
                {"resource": {**BASIC, "id": None} | {"id": "b"}, "search": {"mode": "outcome"}},
            ),
            "invalid",
            "Bundle.entry[0].resource",
        ),
        (
            bundle("searchset", {"resource": {n: v for n, v in BASIC.items() if n != "id"}}),
            "required",
            "Bundle.entry[0].resource.id",
        ),
        (
            document(
                {"fullUrl": f"{SERVER}/Composition/d", "resource": composition()}, placed(DOCTOR)
            ),
            "invalid",
            "Bundle.entry[0].fullUrl",
        ),
        (
            document(placed(composition())),
            "not-found",
            "Bundle.entry[0].resource.author[0].reference",
        ),
        (
            document({"fullUrl": UUID, "resource": composition()}, placed(DOCTOR)),
            "not-found",
            "Bundle.entry[0].resource.author[0].reference",
        ),
        (
            {
                "resourceType": "CodeSystem",
                "status": "draft",
                "content": "complete",
                "property": [{"code": "p", "type": "boolean"}],
                "concept": [
                    {
                        "code": "a",
                        "concept": [{"code": "b", "property": [{"code": "p", "valueCode": "x"}]}],
                    }
                ],
            },
            "invalid",
            "CodeSystem.concept[0].concept[0].property[0].value",
        ),
        (
            {
                "resourceType": "SearchParameter",
                "url": f"{SERVER}/SearchParameter/x",
                "name": "X",
                "status": "draft",
                "description": "x",
                "code": "name",
                "base": ["Patient"],
                "type": "token",
                "derivedFrom": "http://hl7.org/fhir/SearchParameter/Patient-name",
            },
            "business-rule",
            "SearchParameter.type",
        ),
    ],
    ids=lambda held: held if isinstance(held, str) else "",
)
def test_a_fault_of_a_rule_in_words_is_found_at_its_place(resource, code, expression):
    assert (code, expression) in issues(resource)


@pytest.mark.parametrize(
    "resource",
    [
        {**PATIENT, "implicitRules": UUID},
        {**PATIENT, "implicitRules": "urn:uui"},
        {**PATIENT, "implicitRules": "urn:oid:1.2"},
        {
            **PATIENT,
            "extension": [{"url": "u:u", "extension": [{"url": "part", "valueCode": "x"}]}],
        },
        {
            **PATIENT,
            "name": [{"id": "a", "text": "x"}],
            "contained": [{**BASIC, "subject": {"reference": "#"}}],
        },
        bundle("collection", {"fullUrl": UUID, "resource": BASIC}),
        bundle("collection", {"fullUrl": "http://a.example/anything", "resource": BASIC}),
        bundle("transaction", {"resource": BASIC, "request": {"method": "POST", "url": "Basic"}}),
        bundle("searchset", {"resource": BASIC, "search": {"mode": "match"}}),
        document(placed(composition()), placed(DOCTOR)),
        document(
            {
                "fullUrl": UUID,
                "resource": composition(author=[{"reference": f"{SERVER}/Practitioner/1"}]),
            }
        ),
    ],
)
def test_what_the_words_allow_is_no_fault(resource):
    assert issues(resource) == []


def test_references_of_a_bundle_are_followed_for_invariants():
    team = {
        "resourceType": "CareTeam",
        "id": "t",
        "participant": [
            {
                "member": {"reference": "Practitioner/1"},
                "onBehalfOf": {"reference": "Organization/1"},
            }
        ],
    }
    assert issues(bundle("collection", placed(team), placed(DOCTOR))) == []
    patient = {**DOCTOR, "resourceType": "Patient"}
    team["participant"][0]["member"]["reference"] = "Patient/1"
    at = "Bundle.entry[0].resource.participant[0]"
    assert ("invariant", at) in issues(bundle("collection", placed(team), placed(patient)))
    assert issues(team) == []


def constraint(path, type_="Observation"):
    return {
        "resourceType": "StructureDefinition",
        "url": f"{SERVER}/StructureDefinition/x",
        "name": "X",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": "a", "path": type_}, {"id": "b", "path": path}]},
    }


@pytest.mark.parametrize(
    "path",
    [
        "Observation.value[x]",
        "Observation.valueQuantity.code",
        "Observation.component.referenceRange.low.value",
        "Observation.code.coding.system",
        "Observation.contained.id",
        "Observation.status.extension.url",
    ],
)
def test_the_path_of_a_constraint_leads_to_an_element(path):
    assert issues(constraint(path)) == []


@pytest.mark.parametrize(
    "path", ["Observation.valueBla", "Observation.code.system", "Observation.componen.code"]
)
def test_a_path_that_leads_nowhere_is_found(path):
    at = "StructureDefinition.differential.element[1].path"
    assert ("invalid", at) in issues(constraint(path))


def test_an_unknown_modifier_extension_is_a_warning_unless_the_setting_refuses_it():
    resource = {**PATIENT, "modifierExtension": [MODIFIER]}
    found = ("extension", "Patient.modifierExtension[0]")
    assert found in issues(resource, "warning")
    assert issues(resource) == []
    strict = Validator(DEFINITIONS, Policy(modifier_extensions="refuse"))
    assert issues(resource, validator=strict) == [found]


def test_a_modifier_extension_that_is_understood_is_neither():
    resource = {**PATIENT, "contact": [{"name": {"text": "x"}, "modifierExtension": [MODIFIER]}]}
    knowing = Validator(DEFINITIONS, Policy("refuse", frozenset({MODIFIER["url"]})))
    assert issues(resource, validator=knowing) == []
    refusing = Validator(DEFINITIONS, Policy("refuse"))
    assert issues(resource, validator=refusing) == [
        ("extension", "Patient.contact[0].modifierExtension[0]")
    ]


def test_markup_in_text_is_refused_where_that_is_asked():
    resource = {**PATIENT, "name": [{"text": "<script>1</script>"}]}
    assert issues(resource) == []
    sharp = Validator(DEFINITIONS, Policy(markup="refuse"))
    assert issues(resource, validator=sharp) == [("invalid", "Patient.name[0].text")]
    assert issues({**PATIENT, "name": [{"text": "a < b"}]}, validator=sharp) == []


def test_best_practice_is_a_warning():
    assert issues(BASIC, "warning") == [("invariant", "Basic")]
    assert issues(BASIC) == []


def test_a_wrong_full_url_is_a_warning_but_in_a_document():
    resource = bundle("collection", {"fullUrl": f"{SERVER}/Basic/other", "resource": BASIC})
    assert ("invalid", "Bundle.entry[0].fullUrl") in issues(resource, "warning")
    assert issues(resource) == []


def test_the_rules_of_a_type_can_be_compiled_before_they_are_needed():
    validator = Validator(DEFINITIONS)
    validator.prepare(("Patient", "Questionnaire"))
    assert issues(PATIENT, validator=validator) == []
