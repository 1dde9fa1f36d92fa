"""Our own package: its examples are right, broken ones are caught, and what we author conforms."""

import os
import subprocess
import sys
from importlib import resources as package_data

import httpx
import pytest
from imaging_story import NOW, order, results, signed
from served import ROOT, Served

from ai_observations import registry
from conformance.canonicals import Canonicals, imaging, shipped
from conformance.profile.checked import ProfileChecks, claimed
from conformance.profile.run import failed
from conformance.validate import Validator
from fhir_server.demo import messages, patients
from fhir_server.hl7v2 import translation
from resources import definitions, model
from resources.authored import task
from resources.authored.imaging_study import Member, Series, Study, imaging_study
from resources.model import copy

DEFINITIONS = definitions.load()
CHECKS = ProfileChecks(DEFINITIONS, Canonicals(shipped()))
VALIDATOR = Validator(DEFINITIONS)
OWN = "https://hounsfield.example/fhir/StructureDefinition/"
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


def resources(bundle, type_):
    found = [entry["resource"] for entry in bundle["entry"]]
    return [one for one in found if one["resourceType"] == type_]


def right(resource, profile):
    """Tell what is wrong with a resource as it is stored; references inside a Bundle are its own."""
    return [i for i in CHECKS.check(resource, [OWN + profile]) if i.severity != "information"]


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
    assert right(ingested(), "imaging-study") == []


@pytest.mark.parametrize("model_id", ["ct-lung-measures", "iq-classical"])
def test_what_a_model_found_conforms(model_id):
    model_ = registry.find(model_id)
    values = {output.key: 1 for output in model_.outputs if output.kind in {"quantity", "integer"}}
    absent = [output.key for output in model_.outputs if output.key not in values]
    study = {**ingested(), "id": "s1"}
    bundle = results(study, model_id, values, absent=absent)
    findings = resources(bundle, "Observation")
    assert findings
    assert [right(one, "ai-finding") for one in findings] == [[] for _ in findings]
    (device,) = resources(bundle, "Device")
    assert right(device, "ai-model") == []
    (report,) = resources(bundle, "DiagnosticReport")
    assert right(report, "imaging-report-preliminary") == []
    final = {**report, "id": "r1"}
    (final,) = resources(signed(final, order("o1", "Patient/p1"), study), "DiagnosticReport")
    assert right(final, "imaging-report-final") == []
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
    assert right(task.task(work), "ai-task") == []


@pytest.mark.parametrize("case", patients.cases(), ids=lambda case: case.name)
def test_an_order_that_came_by_v2_conforms(case):
    bundle = translation.translate(messages.order(case), received=0).bundle
    (found,) = resources(bundle, "ServiceRequest")
    assert right(found, "imaging-order") == []


# --- the demo day, at full size -----------------------------------------------------------------------

OF_TYPE = {
    "ServiceRequest": lambda _: "imaging-order",
    "ImagingStudy": lambda _: "imaging-study",
    "Observation": lambda one: "ai-finding" if "device" in one else None,
    "Device": lambda one: "ai-model" if "modelNumber" in one else None,
    "Task": lambda one: "ai-task" if _code(one) == "infer" else None,
    "DiagnosticReport": lambda one: (
        "imaging-report-" + ("preliminary" if one["status"] == "preliminary" else "final")
    ),
}


def _code(one):
    return one.get("code", {}).get("coding", [{}])[0].get("code")


@pytest.mark.skipif(
    os.environ.get("HOUNSFIELD_PROVE") != "1", reason="a whole demo day: make prove"
)
@pytest.mark.timeout(400)
def test_all_that_the_demo_day_leaves_conforms(tmp_path, record_property):
    server = Served(tmp_path / "data", auth="smart")
    hounsfield = [sys.executable, "-m", "fhir_server"]
    try:
        where = ["--data", str(server.data)]
        day = [*hounsfield, "demo", "--base", server.base, *where]
        subprocess.run(day, cwd=ROOT, check=True, capture_output=True)
        asked = [*hounsfield, "token", "--scope", "system/*.rs", *where]
        told = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
        headers = {"Authorization": f"Bearer {told.stdout.strip()}"}
        checked = 0
        with httpx.Client(base_url=server.base, headers=headers, timeout=60) as client:
            for type_, profile_of in OF_TYPE.items():
                bundle = client.get(f"{type_}?_count=500").json()
                for one in resources(bundle, type_):
                    profile = profile_of(one)
                    if profile is not None:
                        assert right(one, profile) == [], f"{type_}/{one['id']}"
                        checked += 1
    finally:
        server.stop()
    record_property("proof", f"the demo day: {checked} resources conform to our own profiles")
    assert checked > 25
