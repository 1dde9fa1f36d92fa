"""HL7's examples, Synthea's patients and US Core's examples pass, but those that R4 itself forbids."""

import gzip
import json
import zipfile

import fhirkit
import pytest

from conformance.validate import Validator
from resources import definitions, model

VALIDATOR = Validator(definitions.load())

CODE = (
    "code: no leading or trailing white space, and none inside but single spaces "
    "(datatypes.html#code); these end in U+00A0"
)
EMPTY = "txt-2: The narrative SHALL have some non-whitespace content (narrative.html)"
ID = "id: any combination of letters, numerals, - and ., with a length limit of 64 characters"
NO_BASE = "SearchParameter.base has cardinality 1..* (searchparameter.html)"
TARGET = "the element's Reference(...) does not list the type referred to ({})"
BAD = {
    "ActivityDefinition/blood-tubes-supply": EMPTY,
    "ActivityDefinition/heart-valve-replacement": EMPTY,
    "Bundle/v2-valuesets": CODE,
    "CodeSystem/v2-0550": CODE,
    "DeviceMetric/example": TARGET.format("DeviceMetric.parent: Reference(Device)"),
    "DeviceUseStatement/example": TARGET.format(
        "DeviceUseStatement.reasonReference: Reference(Condition | Observation | "
        "DiagnosticReport | DocumentReference | Media)"
    ),
    "EventDefinition/example": EMPTY,
    "ImplementationGuide/fhir": f"name and status have cardinality 1..1; {ID}",
    "MedicationRequest/medrx0301": TARGET.format(
        "MedicationRequest.dispenseRequest.performer: Reference(Organization)"
    ),
    "Observation/clinical-gender": TARGET.format(
        "Observation.performer: Reference(Practitioner | PractitionerRole | Organization | "
        "CareTeam | Patient | RelatedPerson)"
    ),
    "Questionnaire/qs1": "Questionnaire.item.linkId has cardinality 1..1 (questionnaire.html)",
    "Questionnaire/zika-virus-exposure-assessment": EMPTY,
    "SearchParameter/questionnaireresponse-extensions-QuestionnaireResponse-item-subject": ID,
    **{
        f"SearchParameter/{kind.lower()}-extensions-{kind}-{name}": NO_BASE
        for kind in ("CodeSystem", "ValueSet")
        for name in ("author", "effective", "end", "keyword", "workflow")
    },
}
ONLY_OURS = frozenset((EMPTY, ID, *(reason for reason in BAD.values() if "Reference(" in reason)))


def lines(path):
    with gzip.open(path) as file:
        return list(file)


@pytest.fixture(scope="module")
def examples(corpus):
    return lines(corpus / "r4" / "examples-dev.ndjson.gz")


def name(resource):
    return f"{resource['resourceType']}/{resource.get('id')}"


def test_every_official_example_passes_but_those_that_r4_forbids(examples):
    resources = [model.parse(line) for line in examples]
    refused = {name(held) for held in resources if VALIDATOR.check(held)}
    assert refused == BAD.keys() & {name(held) for held in resources}


def test_fhirkit_refuses_no_official_example_that_passes_here(examples):
    agreed = 0
    for line in examples:
        ours = bool(VALIDATOR.check(model.parse(line)))
        theirs = any(issue.severity == "error" for issue in fhirkit.validate(line))
        if ours == theirs:
            agreed += 1
        else:
            assert ours
            assert BAD[name(model.parse(line))] in ONLY_OURS
    print(f"fhirkit agrees on {agreed} of {len(examples)} official examples")
    assert agreed >= 0.98 * len(examples)


@pytest.mark.parametrize("version", ["6.1.0", "8.0.0"])
def test_every_us_core_example_passes(corpus, version):
    found = lines(corpus / "us-core" / f"examples-{version}-dev.ndjson.gz")
    assert found
    assert {name(r): i for r in map(model.parse, found) if (i := VALIDATOR.check(r))} == {}


def test_every_synthea_bundle_passes(corpus):
    files = sorted((corpus / "synthea").glob("*.json.gz"))
    assert files
    for file in files:
        assert VALIDATOR.check(model.parse(gzip.decompress(file.read_bytes()))) == (), file.name


# Two cases switch a rule off in the validator that they test, and one is no resource but a pattern.
SWITCHED = {"json-comments-1-yes", "contained-resource-bad-id-ignore", "matchetype-pattern-1"}


def test_no_case_of_the_reference_validator_is_refused_for_nothing(corpus):
    checked = 0
    with zipfile.ZipFile(corpus / "r4" / "validator-cases-dev.zip") as cases:
        files = set(cases.namelist())
        for case in json.loads(cases.read("cases.json")):
            file = f"files/{case['file']}"
            is_right = not any(
                issue["severity"] in {"error", "fatal"} for issue in case["expected_issues"]
            )
            if is_right and file.endswith(".json") and case["name"] not in SWITCHED:
                assert file in files
                assert VALIDATOR.check(model.parse(cases.read(file))) == (), case["name"]
                checked += 1
    assert checked > 50
