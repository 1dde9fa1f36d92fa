"""A result becomes one transaction of valid R4 resources whose identity is the same for each run."""

from decimal import Decimal

import pytest
from fhir.resources.R4B.bundle import Bundle

from ai_observations import observation, registry
from ai_observations.result import Measure, Result
from conformance.validate import Validator
from resources import definitions
from resources.model import parse, serialise

NOW = "2026-11-21T10:00:00.000Z"


def made(*measures, model="ct-lung-measures", **more):
    return Result(
        model_id=model,
        model_version="1.0.0",
        study_uid="2.25.1",
        series_uid="2.25.2",
        input_sha256="ab" * 32,
        instances=133,
        measures=measures,
        device="cpu",
        **more,
    )


RESULT = made(
    Measure("lung-volume", 3698.549),
    Measure("lung-laa-950", 2.55),
    Measure("body-area", absent="error"),
)


def bundle_of(study, result=RESULT, **more):
    model = registry.find(result.model_id)
    return observation.results_bundle(study, result, model, now=NOW, **more)


def resources(bundle, kind):
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


@pytest.fixture(scope="module")
def validator():
    return Validator(definitions.load())


@pytest.mark.parametrize("model", ["brain-volume", "ct-lung-measures", "iq-classical"])
def test_everything_authored_is_valid_r4(study, validator, model):
    values = {"quantity": 1.25, "integer": 3, "boolean": True, "string": "axial"}
    outputs = registry.find(model).outputs
    result = made(
        *(Measure(o.key, values[o.kind], abnormal=i % 2 == 0) for i, o in enumerate(outputs)),
        model=model,
        notes=("A note.",),
    )
    bundle = bundle_of(study, result)
    Bundle.model_validate_json(serialise(bundle))
    issues = [issue for e in bundle["entry"] for issue in validator.check(e["resource"])]
    assert [issue for issue in issues if issue.severity in ("error", "fatal")] == []


def test_the_bundle_survives_json_and_keeps_its_digits(study):
    found = parse(serialise(bundle_of(study)))
    quantities = [o.get("valueQuantity") for o in resources(found, "Observation")]
    assert quantities[0] == {
        "value": 3699,
        "unit": "cm³",
        "system": "http://unitsofmeasure.org",
        "code": "cm3",
    }
    assert quantities[1]["value"] == Decimal("2.6")


def test_every_observation_reaches_study_order_patient_and_model(study):
    bundle = bundle_of(study)
    device = next(
        e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Device"
    )
    for found in resources(bundle, "Observation"):
        assert found["status"] == "preliminary"
        assert found["device"] == {"reference": device}
        assert found["derivedFrom"] == [{"reference": "ImagingStudy/study-1"}]
        assert found["subject"] == {"reference": "Patient/patient-1"}
        assert found["basedOn"] == [{"reference": "ServiceRequest/order-1"}]
        assert found["effectiveDateTime"] == study["started"]
        assert found["issued"] == NOW
        assert "2.25.2" in found["note"][0]["text"]
        assert "cpu" in found["note"][0]["text"]


def test_an_absent_value_says_why_and_what_does_not_apply_is_left_out(study):
    result = made(
        Measure("body-area", absent="error"), Measure("lung-volume", absent="not-applicable")
    )
    (found,) = resources(bundle_of(study, result), "Observation")
    assert found["dataAbsentReason"]["coding"][0]["code"] == "error"
    assert "valueQuantity" not in found


def test_the_device_carries_the_hash_of_the_weights(study):
    result = made(Measure("brain-volume", 1400.0), model="brain-volume")
    (device,) = resources(bundle_of(study, result), "Device")
    model = registry.find("brain-volume")
    versions = {v["component"]["value"]: v["value"] for v in device["version"] if "component" in v}
    assert versions["model.pt"] == model.weights[1].sha256
    assert versions["source"] == registry.digests(model)["source"]
    assert device["type"]["coding"][0]["code"] == "123110"


def test_a_program_without_weights_is_not_called_artificial_intelligence(study):
    (device,) = resources(bundle_of(study), "Device")
    assert "coding" not in device["type"]


def test_provenance_names_device_series_hash_and_model_hashes(study):
    bundle = bundle_of(study)
    (found,) = resources(bundle, "Provenance")
    urls = [e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    assert [t["reference"] for t in found["target"]] == urls
    assert found["agent"][0]["who"] == {"reference": bundle["entry"][0]["fullUrl"]}
    named = [e["what"].get("identifier", {}).get("value") for e in found["entity"]]
    assert {"urn:oid:2.25.2", "ab" * 32} <= set(named)
    assert registry.digests(registry.find("ct-lung-measures"))["source"] in named
    assert found["entity"][0]["what"] == {"reference": "ImagingStudy/study-1"}


def test_the_report_is_preliminary_says_so_and_lists_every_result(study):
    bundle = bundle_of(study)
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["conclusion"].startswith("PRELIMINARY")
    assert "not reviewed by a person" in report["conclusion"]
    assert len(report["result"]) == len(resources(bundle, "Observation"))
    assert report["imagingStudy"] == [{"reference": "ImagingStudy/study-1"}]


def test_a_second_run_of_a_version_has_the_same_identities(study):
    later = observation.results_bundle(
        study, RESULT, registry.find("ct-lung-measures"), now="2027-01-01T00:00:00.000Z"
    )
    requests = [(e["fullUrl"], e["request"]) for e in later["entry"]]
    assert requests == [(e["fullUrl"], e["request"]) for e in bundle_of(study)["entry"]]


def test_a_new_version_has_other_identities(study):
    from msgspec import structs

    model = registry.find("ct-lung-measures")
    newer = structs.replace(model, version="1.0.1")
    bundle = observation.results_bundle(study, RESULT, newer, now=NOW)
    ours = {e["fullUrl"] for e in bundle_of(study)["entry"]}
    assert ours.isdisjoint({e["fullUrl"] for e in bundle["entry"]})


def test_observations_are_conditional_updates_and_the_report_is_created_once(study):
    requests = {e["resource"]["resourceType"]: e["request"] for e in bundle_of(study)["entry"]}
    assert requests["Observation"]["method"] == "PUT"
    assert requests["Observation"]["url"].startswith("Observation?identifier=")
    assert "%7C2.25.1/ct-lung-measures/1.0.0/" in requests["Observation"]["url"]
    assert requests["Device"]["url"].startswith("Device?identifier=")
    assert requests["DiagnosticReport"]["method"] == "POST"
    assert requests["DiagnosticReport"]["ifNoneExist"].endswith("/report")
    assert requests["Provenance"]["url"].startswith("Provenance/")


def test_a_study_without_order_or_time_says_neither(study):
    bare = {k: v for k, v in study.items() if k not in ("basedOn", "started")}
    for found in resources(bundle_of(bare), "Observation"):
        assert "basedOn" not in found
        assert "effectiveDateTime" not in found


def test_only_orders_are_carried_on(study):
    other = study | {"basedOn": [{"reference": "CarePlan/1"}, {"reference": "ServiceRequest/2"}]}
    (found, *_) = resources(bundle_of(other), "Observation")
    assert found["basedOn"] == [{"reference": "ServiceRequest/2"}]


def test_our_own_code_system_defines_every_code_that_we_use(validator):
    models = list(registry.discover().values())
    found = observation.code_system(models)
    defined = {concept["code"] for concept in found["concept"]}
    assert defined == {output.key for model in models for output in model.outputs}
    assert [i for i in validator.check(found) if i.severity == "error"] == []


def test_units_are_ucum_where_there_is_a_quantity():
    known = {"cm3", "cm2", "%", "[hnsf'U]", "mm", "bit", "1"}
    quantities = [
        o for m in registry.discover().values() for o in m.outputs if o.kind == "quantity"
    ]
    assert {o.unit for o in quantities} <= known
