"""The entries that charge a signed report: what was ordered, for whom, once, and valid R4."""

import pytest
import small_study
from fhir.resources.R4B.chargeitem import ChargeItem
from fhir.resources.R4B.claim import Claim
from fhir.resources.R4B.coverage import Coverage
from job_world import VALIDATOR

from operations.billing import charge

NOW = "2026-03-04T10:20:30.000Z"
REPORT = {
    "resourceType": "DiagnosticReport",
    "id": "r1",
    "status": "final",
    "code": {"text": "Imaging"},
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "Encounter/e9"},
    "effectiveDateTime": "2026-01-01",
}
MODELS = {"ChargeItem": ChargeItem, "Claim": Claim, "Coverage": Coverage}


def entries(order=None, study=None, coverage=None, **report):
    read = charge.Read({**REPORT, **report}, order, study, "Practitioner/d1", coverage, NOW)
    return charge.entries(read)


def resources(*given, **report):
    found = entries(*given, **report)
    return {entry["resource"]["resourceType"]: entry["resource"] for entry in found}


@pytest.mark.parametrize("order", [None, small_study.order()])
@pytest.mark.parametrize("study", [None, small_study.study()])
@pytest.mark.parametrize("coverage", [None, "Coverage/c1"])
def test_every_resource_is_valid(order, study, coverage):
    for type_, resource in resources(order, study, coverage).items():
        MODELS[type_].model_validate(resource)
        faults = [i for i in VALIDATOR.check({**resource, "id": "x"}) if i.severity == "error"]
        assert faults == []


def test_the_order_s_code_encounter_and_reasons_are_charged():
    found = resources(small_study.order(), small_study.study())
    item, claim = found["ChargeItem"], found["Claim"]
    assert item["code"] == small_study.order()["code"]
    assert item["context"]["reference"] == "Encounter/e1"
    assert item["reason"] == [{"text": "Cough"}]
    assert claim["diagnosis"][0]["diagnosisCodeableConcept"] == {"text": "Cough"}
    assert claim["item"][0]["diagnosisSequence"] == [1]
    assert claim["item"][0]["encounter"] == [{"reference": "Encounter/e1"}]


def test_without_an_order_the_report_s_own_code_and_encounter_are():
    found = resources()
    assert found["ChargeItem"]["code"] == {"text": "Imaging"}
    assert found["ChargeItem"]["context"]["reference"] == "Encounter/e9"
    assert "diagnosis" not in found["Claim"]


@pytest.mark.parametrize(
    ("study", "report", "served"),
    [
        (small_study.study(), {}, "2026-01-02T09:11:12.500Z"),
        (None, {}, "2026-01-01"),
        (None, {"effectiveDateTime": None}, NOW),
    ],
)
def test_it_was_served_when_the_study_began_else_when_the_report_says(study, report, served):
    found = resources(None, study, **report)
    assert found["ChargeItem"]["occurrenceDateTime"] == served
    assert found["Claim"]["item"][0]["servicedDate"] == served[:10]


def test_identity_is_the_report_s_so_that_nothing_is_doubled():
    first, second = entries(), entries()
    assert first == second
    urls = [entry["request"].get("ifNoneExist", entry["request"]["url"]) for entry in first]
    assert urls == [
        f"ChargeItem?identifier={charge.IDENTIFIERS}|r1",
        f"Claim?identifier={charge.IDENTIFIERS}|r1",
        f"identifier={charge.SELF_PAY}|p1&status=active",
    ]


def test_a_known_coverage_is_used_and_none_is_made():
    found = entries(coverage="Coverage/c1")
    assert len(found) == 2
    claim = found[1]["resource"]
    assert claim["insurance"][0]["coverage"]["reference"] == "Coverage/c1"


def test_without_one_the_claim_refers_to_the_self_pay_coverage_beside_it():
    claim, coverage = entries()[1:]
    reference = claim["resource"]["insurance"][0]["coverage"]["reference"]
    assert reference == coverage["fullUrl"]
    assert coverage["resource"]["payor"] == [{"reference": "Patient/p1"}]


def test_a_claim_is_a_draft_without_a_price():
    claim = resources(small_study.order())["Claim"]
    assert (claim["status"], claim["use"]) == ("draft", "claim")
    assert "total" not in claim
    assert "unitPrice" not in claim["item"][0]
