"""DiagnosticReport/$sign: who signs what, once, and the charge that comes of it."""

import asyncio
import json

import pytest
import small_study
from job_world import BASE, limited, outcome_of

from fhir_server.access import Access, Grant, everything

PLACE = "DiagnosticReport/r1/$sign"
LOINC = {"coding": [{"system": "http://loinc.org", "code": "18748-4"}]}


def report(id_="r1", **more):
    return {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": "preliminary",
        "code": LOINC,
        "subject": {"reference": "Patient/p1"},
        "basedOn": [{"reference": "ServiceRequest/o1"}],
        "imagingStudy": [{"reference": "ImagingStudy/s1"}],
        "conclusion": "PRELIMINARY, made by a program",
        **more,
    }


def asking(conclusion="No acute finding.", practitioner="Practitioner/d1"):
    elements = []
    if conclusion is not None:
        elements.append({"name": "conclusion", "valueString": conclusion})
    if practitioner is not None:
        elements.append({"name": "practitioner", "valueReference": {"reference": practitioner}})
    return {"resourceType": "Parameters", "parameter": elements}


@pytest.fixture
async def story(world):
    await world.put(small_study.patient(), small_study.order(), small_study.study(), report())
    return world


async def written(world):
    types = ("ChargeItem", "Claim", "Coverage", "Provenance")
    return {type_: await world.all(type_) for type_ in types}


async def test_a_signed_report_is_final_with_signer_conclusion_and_time(story):
    response = await story.call("POST", PLACE, asking())
    assert response.status == 200
    assert response.headers["ETag"] == 'W/"2"'
    final = json.loads(response.body)
    assert final == await story.give("GET", "DiagnosticReport/r1")
    assert (final["status"], final["conclusion"]) == ("final", "No acute finding.")
    assert final["resultsInterpreter"] == [{"reference": "Practitioner/d1"}]
    assert final["issued"].endswith("Z")
    assert final["basedOn"] == report()["basedOn"]


async def test_charge_claim_coverage_and_provenance_come_of_it(story):
    await story.give("POST", PLACE, asking())
    found = await written(story)
    (item,), (claim,) = found["ChargeItem"], found["Claim"]
    (coverage,), (provenance,) = found["Coverage"], found["Provenance"]
    assert item["subject"]["reference"] == claim["patient"]["reference"] == "Patient/p1"
    assert item["code"] == small_study.order()["code"] == claim["item"][0]["productOrService"]
    assert item["service"] == [{"reference": "ImagingStudy/s1"}]
    assert item["context"]["reference"] == "Encounter/e1"
    assert item["supportingInformation"] == [{"reference": "DiagnosticReport/r1"}]
    assert claim["insurance"][0]["coverage"]["reference"] == f"Coverage/{coverage['id']}"
    assert coverage["beneficiary"]["reference"] == "Patient/p1"
    assert provenance["target"] == [{"reference": "DiagnosticReport/r1"}]
    assert provenance["agent"][0]["who"]["reference"] == "Practitioner/d1"


async def test_the_active_coverage_that_the_patient_has_is_claimed_from(story):
    coverage = {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": "Patient/p1"},
        "payor": [{"display": "Insurer"}],
    }
    old = {**coverage, "id": "old", "status": "cancelled"}
    await story.put(old, {**coverage, "id": "c1"})
    await story.give("POST", PLACE, asking())
    (claim,) = await story.all("Claim")
    assert claim["insurance"][0]["coverage"]["reference"] == "Coverage/c1"
    assert len(await story.all("Coverage")) == 2


async def test_a_coverage_that_is_no_longer_active_is_not_claimed_from(story):
    await story.give("POST", PLACE, asking())
    (paid,) = await story.all("Coverage")
    await story.put({**paid, "status": "cancelled"}, report("r2"))
    await story.give("POST", "DiagnosticReport/r2/$sign", asking())
    assert len(await story.all("Coverage")) == 2
    (active,) = await story.all("Coverage", "status=active")
    claims = await story.all("Claim")
    used = {each["insurance"][0]["coverage"]["reference"] for each in claims}
    assert used == {f"Coverage/{paid['id']}", f"Coverage/{active['id']}"}


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "cancelled", "unknown"])
async def test_what_is_not_open_is_409(story, status):
    await story.put(report(status=status))
    assert outcome_of(await story.call("POST", PLACE, asking()))[:2] == (409, "conflict")
    assert await story.all("Claim") == []


@pytest.mark.parametrize("status", ["registered", "partial", "preliminary"])
async def test_what_is_open_is_signed_once(story, status):
    await story.put(report(status=status))
    assert (await story.call("POST", PLACE, asking())).status == 200
    assert (await story.call("POST", PLACE, asking())).status == 409
    assert {type_: len(found) for type_, found in (await written(story)).items()} == {
        "ChargeItem": 1,
        "Claim": 1,
        "Coverage": 1,
        "Provenance": 1,
    }


async def test_racing_signers_sign_once_and_the_others_are_told(story, size):
    count = size(8, 64)
    bodies = [asking(f"By {n}", f"Practitioner/d{n}") for n in range(count)]
    answers = await asyncio.gather(*(story.call("POST", PLACE, body) for body in bodies))
    statuses = sorted(each.status for each in answers)
    assert statuses == [200] + [409] * (count - 1)
    found = await written(story)
    assert {len(each) for each in found.values()} == {1}
    final = await story.give("GET", "DiagnosticReport/r1")
    signer = final["resultsInterpreter"][0]["reference"]
    assert final["conclusion"] == f"By {signer.removeprefix('Practitioner/d')}"
    assert found["ChargeItem"][0]["performer"][0]["actor"]["reference"] == signer


async def test_reports_of_one_patient_signed_at_once_share_one_coverage(story):
    await story.put(*(report(f"q{n}") for n in range(6)))
    places = [f"DiagnosticReport/q{n}/$sign" for n in range(6)]
    answers = await asyncio.gather(*(story.call("POST", each, asking()) for each in places))
    assert [each.status for each in answers] == [200] * 6
    assert len(await story.all("Coverage")) == 1
    assert len(await story.all("Claim")) == 6


# --- who signs ---


def doctor(user="Practitioner/d1", **more):
    return limited(("DiagnosticReport", "rsu"), user=user, **more)


async def test_a_user_signs_in_their_own_name(story):
    mine = story.as_(doctor())
    final = await mine.give("POST", PLACE, asking(practitioner=None))
    assert final["resultsInterpreter"] == [{"reference": "Practitioner/d1"}]
    assert len(await story.all("ChargeItem")) == 1


async def test_naming_oneself_is_no_fault_and_naming_another_is_403(story):
    mine = story.as_(doctor())
    other = await mine.call("POST", PLACE, asking(practitioner="Practitioner/d2"))
    assert other.status == 403
    assert (
        await mine.call("POST", PLACE, asking(practitioner=f"{BASE}/Practitioner/d1"))
    ).status == 200


@pytest.mark.parametrize("user", ["Patient/p1", "RelatedPerson/x", "Organization/x"])
async def test_a_user_who_is_no_clinician_does_not_sign(story, user):
    answered = await story.as_(doctor(user)).call("POST", PLACE, asking(practitioner=None))
    assert answered.status == 403


@pytest.mark.parametrize(
    "named",
    [None, "Patient/p1", "Practitioner/", "Practitioner", "Organization/x", "#d1",
     "http://elsewhere.example/fhir/Practitioner/d1", "urn:uuid:1"],
)  # fmt: skip
async def test_without_a_user_a_clinician_of_this_server_is_named(story, named):
    answered = await story.call("POST", PLACE, asking(practitioner=named))
    assert outcome_of(answered)[:2] == (400, "required")


async def test_a_named_clinician_need_not_be_stored_here(story):
    final = await story.give("POST", PLACE, asking(practitioner="PractitionerRole/new"))
    assert final["resultsInterpreter"] == [{"reference": "PractitionerRole/new"}]


async def test_a_token_of_one_patient_does_not_sign(story):
    mine = limited(("*", "cruds"), patient="p1", user="Practitioner/d1")
    assert (await story.as_(mine).call("POST", PLACE, asking())).status == 403
    both = Access(
        "d1", (*mine.grants, Grant("Patient", frozenset("r"))), fhir_user="Practitioner/d1"
    )
    assert (await story.as_(both).call("POST", PLACE, asking())).status == 403
    assert (await story.give("GET", "DiagnosticReport/r1"))["status"] == "preliminary"


async def test_a_granular_scope_signs_what_it_covers(story):
    await story.put(report("other", code={"text": "else"}))
    grant = Grant("DiagnosticReport", frozenset("ru"), None, (("code", "18748-4"),))
    mine = story.as_(Access("d1", (grant,), fhir_user="Practitioner/d1"))
    assert (await mine.call("POST", "DiagnosticReport/other/$sign", asking())).status == 404
    assert (await mine.call("POST", PLACE, asking())).status == 200


async def test_it_takes_the_right_to_update_the_report(story):
    reader = limited(("DiagnosticReport", "rs"), user="Practitioner/d1")
    assert (await story.as_(reader).call("POST", PLACE, asking())).status == 403
    assert (await story.call("POST", "DiagnosticReport/none/$sign", asking())).status == 404


# --- what is signed ---


@pytest.mark.parametrize(
    "subject",
    [None, {"display": "somebody"}, {"identifier": {"system": "urn:mrn", "value": "1"}},
     {"reference": "Group/g"}, {"reference": "Device/d"},
     {"reference": "http://elsewhere.example/fhir/Patient/p1"}],
)  # fmt: skip
async def test_a_report_that_is_not_on_a_patient_of_ours_is_422(story, subject):
    changed = report()
    del changed["subject"]
    await story.put(changed if subject is None else {**changed, "subject": subject})
    response = await story.call("POST", PLACE, asking())
    assert outcome_of(response)[:2] == (422, "business-rule")


async def test_a_report_without_order_and_study_is_charged_by_its_own_code(story):
    bare = report()
    del bare["basedOn"], bare["imagingStudy"]
    await story.put(bare)
    await story.give("POST", PLACE, asking())
    (item,) = await story.all("ChargeItem")
    assert item["code"] == LOINC
    assert "service" not in item
    assert "context" not in item


@pytest.mark.parametrize(
    "order",
    [{"reference": "ServiceRequest/none"}, {"reference": "CarePlan/x"}, {"display": "an order"},
     {"reference": "http://elsewhere.example/fhir/ServiceRequest/o1"},
     {"reference": "urn:uuid:7"}, {"reference": "ServiceRequest/theirs"}],
)  # fmt: skip
async def test_an_order_that_is_not_here_or_another_s_is_not_charged(story, order):
    await story.put(small_study.patient("p2"), small_study.order("theirs", "p2"))
    await story.put(report(basedOn=[order]))
    await story.give("POST", PLACE, asking())
    (item,) = await story.all("ChargeItem")
    assert item["code"] == LOINC


async def test_what_no_person_has_looked_at_needs_a_conclusion(story):
    response = await story.call("POST", PLACE, asking(conclusion=None))
    assert outcome_of(response)[:2] == (422, "required")
    assert (await story.give("GET", "DiagnosticReport/r1"))["status"] == "preliminary"


@pytest.mark.parametrize("element", ["performer", "resultsInterpreter"])
async def test_a_colleague_s_conclusion_stays_and_so_does_the_colleague(story, element):
    await story.put(report(**{element: [{"reference": "Practitioner/d2"}], "conclusion": "Seen."}))
    final = await story.give("POST", PLACE, asking(conclusion=None))
    assert final["conclusion"] == "Seen."
    assert {"reference": "Practitioner/d2"} in final[element]
    assert final["resultsInterpreter"][0] == {"reference": "Practitioner/d1"}


@pytest.mark.parametrize(("status", "kept"), [("generated", False), ("additional", True)])
async def test_narrative_made_of_the_old_content_goes_and_an_author_s_stays(story, status, kept):
    div = "<div xmlns='http://www.w3.org/1999/xhtml'>preliminary</div>"
    await story.put(report(text={"status": status, "div": div}))
    final = await story.give("POST", PLACE, asking())
    assert ("text" in final) == kept


async def test_the_measures_of_software_stay_preliminary(story):
    measure = {
        "resourceType": "Observation",
        "id": "m1",
        "status": "preliminary",
        "code": {"text": "Volume"},
        "subject": {"reference": "Patient/p1"},
    }
    await story.put(measure, report(result=[{"reference": "Observation/m1"}]))
    await story.give("POST", PLACE, asking())
    assert (await story.give("GET", "Observation/m1"))["status"] == "preliminary"


async def test_two_claims_that_somebody_gave_one_identifier_are_told_and_nothing_is_written(story):
    await story.give("POST", PLACE, asking())
    (claim,) = await story.all("Claim")
    await story.put({**claim, "id": "again"}, report("r1"))
    response = await story.as_(everything("x")).call("POST", PLACE, asking())
    assert outcome_of(response)[:2] == (412, "multiple-matches")
    assert (await story.give("GET", "DiagnosticReport/r1"))["status"] == "preliminary"
