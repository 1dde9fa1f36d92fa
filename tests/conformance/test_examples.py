"""HL7's examples, Synthea's patients and US Core's examples pass, but those that R4 itself forbids."""

import gzip

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
SYSTEM = (
    "ValueSet.compose.include.system: An absolute URI which is the code system from which the codes "
    "are selected from; example-hierarchical has #hacked (valueset.html)"
)
NO_BASE = "SearchParameter.base has cardinality 1..* (searchparameter.html)"
TARGET = "the element's Reference(...) does not list the type referred to ({})"
BAD = {
    "ActivityDefinition/blood-tubes-supply": EMPTY,
    "ActivityDefinition/heart-valve-replacement": EMPTY,
    "Bundle/v2-valuesets": CODE,
    "Bundle/valuesets": SYSTEM,
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
    "ValueSet/example-hierarchical": SYSTEM,
    "SearchParameter/questionnaireresponse-extensions-QuestionnaireResponse-item-subject": ID,
    **{
        f"SearchParameter/{kind.lower()}-extensions-{kind}-{name}": NO_BASE
        for kind in ("CodeSystem", "ValueSet")
        for name in ("author", "effective", "end", "keyword", "workflow")
    },
}
ONLY_OURS = frozenset(
    (EMPTY, ID, SYSTEM, *(reason for reason in BAD.values() if "Reference(" in reason))
)


def errors(resource):
    """What refuses a resource; warnings do not."""
    return tuple(issue for issue in VALIDATOR.check(resource) if issue.severity == "error")


def lines(path):
    with gzip.open(path) as file:
        return list(file)


@pytest.fixture(scope="module")
def examples(corpus):
    return lines(corpus / "r4" / "examples-dev.ndjson.gz")


def name(resource):
    return f"{resource['resourceType']}/{resource.get('id')}"


@pytest.fixture(scope="module")
def verdicts(examples):
    """The name of each official example, and whether it is refused."""
    resources = (model.parse(line) for line in examples)
    return [(name(held), bool(errors(held))) for held in resources]


def test_every_official_example_passes_but_those_that_r4_forbids(verdicts):
    refused = {held for held, is_refused in verdicts if is_refused}
    assert refused == BAD.keys() & {held for held, _ in verdicts}


def test_fhirkit_refuses_no_official_example_that_passes_here(examples, verdicts, record_property):
    agreed = 0
    for line, (held, ours) in zip(examples, verdicts, strict=True):
        theirs = any(issue.severity == "error" for issue in fhirkit.validate(line))
        if ours == theirs:
            agreed += 1
        else:
            assert ours
            assert BAD[held] in ONLY_OURS
    told = f"fhirkit agrees on {agreed} of {len(examples)} official examples"
    record_property("proof", told)
    assert agreed >= 0.98 * len(examples)


@pytest.mark.parametrize("version", ["6.1.0", "8.0.0"])
def test_every_us_core_example_passes(corpus, version):
    found = lines(corpus / "us-core" / f"examples-{version}-dev.ndjson.gz")
    assert found
    assert {name(r): i for r in map(model.parse, found) if (i := errors(r))} == {}


def test_every_synthea_bundle_passes(corpus):
    files = sorted((corpus / "synthea").glob("*.json.gz"))
    assert files
    for file in files:
        assert errors(model.parse(gzip.decompress(file.read_bytes()))) == (), file.name
