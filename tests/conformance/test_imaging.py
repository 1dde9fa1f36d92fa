"""Our own package: its examples are right, broken ones are caught, and what we author conforms."""

from importlib import resources as package_data

import pytest
from imaging_story import NOW, order, results, signed
from own_profiles import CHECKS, OWN, resources, wrong

from ai_observations import registry
from conformance.canonicals import imaging
from conformance.profile.checked import claimed
from conformance.profile.run import failed
from conformance.validate import Validator
from fhir_server.demo import messages, patients
from fhir_server.hl7v2 import translation
from resources import definitions, model
from resources.authored import task
from resources.authored.imaging_study import Member, Series, Study, imaging_study
from resources.model import copy

VALIDATOR = Validator(definitions.load())
FOLDER = package_data.files("conformance").joinpath("imaging")
FILES = sorted(one.name for one in FOLDER.joinpath("example").iterdir())
PROFILES = sorted(e.id for e in imaging().manifest.entries if e.type == "StructureDefinition")


def example(name):
    return model.parse(FOLDER.joinpath("example", name).read_bytes())


def told(resource, *profiles):
    found = CHECKS.check(resource, [OWN + name for name in profiles] or claimed(resource))
    return [(i.severity, i.expression) for i in found]


def test_each_profile_has_an_example():
    assert {url.removeprefix(OWN) for name in FILES for url in claimed(example(name))} == set(
        PROFILES
    )


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_right_and_says_all_that_its_profile_must_support(name):
    resource = example(name)
    assert VALIDATOR.check(resource) == ()
    assert told(resource) == []


@pytest.mark.parametrize(
    "entry", [e for e in imaging().manifest.entries if e.type != "X"], ids=lambda e: e.member
)
def test_its_definitions_are_valid_themselves(entry):
    assert not failed(VALIDATOR.check(imaging().resource(entry)))


def without(name, element):
    resource = example(name)
    del resource[element]
    return resource


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (without("ServiceRequest-example-order.json", "category"), "ServiceRequest.category"),
        (without("ImagingStudy-example-study.json", "identifier"), "ImagingStudy.identifier"),
        (without("Observation-example-finding.json", "device"), "Observation.device"),
        (without("Device-example-model.json", "version"), "Device.version"),
        (without("Task-example-task.json", "focus"), "Task.focus"),
        (
            without("DiagnosticReport-example-final.json", "resultsInterpreter"),
            "DiagnosticReport.resultsInterpreter",
        ),
        (
            {**example("DiagnosticReport-example-preliminary.json"), "status": "final"},
            "DiagnosticReport.status",
        ),
        (
            {**example("DiagnosticReport-example-final.json"), "status": "preliminary"},
            "DiagnosticReport.status",
        ),
        (
            {
                **example("Observation-example-finding.json"),
                "derivedFrom": [{"reference": "Media/1"}],
            },
            "Observation.derivedFrom",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_profile_needs_is_missed(resource, place):
    assert ("error", place) in told(resource)


def test_a_uid_that_is_none_is_caught():
    study = copy(example("ImagingStudy-example-study.json"))
    study["identifier"][0]["value"] = "urn:oid:2.25.x"
    assert ("error", "ImagingStudy.identifier[0].value") in told(study)


# --- what the server itself writes ------------------------------------------------------------------


def ingested():
    """An ImagingStudy as the bridge writes it."""
    member = Member("2.25.111", "1.2.840.10008.5.1.4.1.1.2", 1)
    return imaging_study(
        Study(
            uid="2.25.1",
            subject={"reference": "Patient/p1"},
            series=(Series("2.25.11", "CT", 1, members=(member,)),),
            based_on=({"reference": "ServiceRequest/o1"},),
            endpoint="Endpoint/e1",
            started="2026-03-04T09:41:07+01:00",
        )
    )


def test_a_study_as_it_is_written_conforms():
    assert wrong(ingested(), "imaging-study") == []


@pytest.mark.parametrize("model_id", ["ct-lung-measures", "iq-classical"])
def test_what_a_model_found_conforms(model_id):
    model_ = registry.find(model_id)
    values = {output.key: 1 for output in model_.outputs if output.kind in {"quantity", "integer"}}
    absent = [output.key for output in model_.outputs if output.key not in values]
    study = {**ingested(), "id": "s1"}
    bundle = results(study, model_id, values, absent=absent)
    findings = resources(bundle, "Observation")
    assert findings
    assert [wrong(one, "ai-finding") for one in findings] == [[] for _ in findings]
    (device,) = resources(bundle, "Device")
    assert wrong(device, "ai-model") == []
    (report,) = resources(bundle, "DiagnosticReport")
    assert wrong(report, "imaging-report-preliminary") == []
    final = {**report, "id": "r1"}
    (final,) = resources(signed(final, order("o1", "Patient/p1"), study), "DiagnosticReport")
    assert wrong(final, "imaging-report-final") == []
    assert failed(CHECKS.check(final, [OWN + "imaging-report-preliminary"]))


def test_the_task_of_an_inference_conforms():
    work = task.Work(
        id="t1",
        code="infer",
        display="Lung measures",
        state="running",
        authored=NOW,
        modified=NOW,
        focus="ImagingStudy/s1",
        patient="Patient/p1",
    )
    assert wrong(task.task(work), "ai-task") == []


@pytest.mark.parametrize("case", patients.cases(), ids=lambda case: case.name)
def test_an_order_that_came_by_v2_conforms(case):
    bundle = translation.translate(messages.order(case), received=0).bundle
    (found,) = resources(bundle, "ServiceRequest")
    assert wrong(found, "imaging-order") == []
