"""ORM^O01: an order becomes a ServiceRequest with its numbers, found again by the placer's."""

import pytest
from v2 import segment

from fhir_server.hl7v2.refusal import DuplicateKey, FieldMissing, SegmentMissing, UnknownCode


def kinds(request):
    return {
        each["type"]["coding"][0]["code"]: (each["system"], each["value"])
        for each in request["identifier"]
        if "type" in each
    }


def test_placer_filler_and_accession_numbers_have_type_and_assigner(orm, resources):
    (request,) = resources(orm(), "ServiceRequest")
    assert kinds(request) == {
        "PLAC": ("urn:hounsfield:assigner:PLACER", "P1"),
        "FILL": ("urn:hounsfield:assigner:FILLER", "F1"),
        "ACSN": ("urn:hounsfield:assigner:RIS", "A1"),
    }
    assert [each["assigner"]["display"] for each in request["identifier"]] == [
        "PLACER",
        "FILLER",
        "RIS",
    ]


def test_the_order_tells_what_why_when_how_urgently_and_who(orm, resources):
    (request,) = resources(orm(), "ServiceRequest")
    assert request["status"] == "active"
    assert request["intent"] == "order"
    assert request["priority"] == "stat"
    assert request["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "24627-2",
        "display": "CT Chest",
    }
    assert request["category"][0]["coding"][0]["code"] == "363679005"
    assert request["category"][1]["coding"][0]["code"] == "CT"
    assert request["reasonCode"][0]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10"
    assert request["supportingInfo"] == [{"display": "cough"}]
    assert request["occurrenceDateTime"] == "2026-01-07T08:00:00+01:00"
    assert request["authoredOn"] == "2026-01-06T13:44:00+01:00"
    assert request["requester"]["display"] == "DR GREGORY HOUSE"


def test_everything_is_linked_inside_the_bundle(orm, translate):
    entries = translate(orm()).bundle["entry"]
    url = {e["resource"]["resourceType"]: e["fullUrl"] for e in entries}
    by_type = {e["resource"]["resourceType"]: e["resource"] for e in entries}
    request = by_type["ServiceRequest"]
    assert request["subject"]["reference"] == url["Patient"]
    assert request["encounter"]["reference"] == url["Encounter"]
    assert request["requester"]["reference"] == url["Practitioner"]
    assert by_type["Encounter"]["subject"]["reference"] == url["Patient"]


def test_an_order_does_not_overwrite_the_patient_that_adt_told(orm, translate):
    methods = {
        e["resource"]["resourceType"]: e["request"]["method"]
        for e in translate(orm()).bundle["entry"]
    }
    assert methods["Patient"] == methods["Encounter"] == "POST"
    assert methods["ServiceRequest"] == "PUT"
    allowed = translate(orm(), orders_update_patients=True).bundle["entry"]
    assert [e["request"]["method"] for e in allowed][:2] == ["PUT", "PUT"]


def test_each_orc_group_is_an_order(orm, resources):
    more = b"ORC|NW|P2^PLACER|F2^FILLER\rOBR|2|||30746-2^CT Head^LN\rNTE|1||with contrast\r"
    first, second = resources(orm() + more, "ServiceRequest")
    assert kinds(second)["PLAC"][1] == "P2"
    assert second["code"]["text"] == "CT Head"
    assert second["note"] == [{"text": "with contrast"}]
    assert "note" not in first


def test_several_obr_of_one_orc_are_orders_of_their_own(orm, resources):
    more = b"OBR|2|P2^PLACER|F2^FILLER|30746-2^CT Head^LN\r"
    first, second = resources(orm() + more, "ServiceRequest")
    assert (kinds(first)["PLAC"][1], kinds(second)["PLAC"][1]) == ("P1", "P2")
    assert first["requester"] == second["requester"]


def test_orders_that_share_a_placer_number_are_told_apart_by_the_fillers(orm, translate):
    more = b"OBR|2|P1^PLACER|F2^FILLER|30746-2^CT Head^LN\r"
    urls = [e["request"]["url"] for e in translate(orm() + more).bundle["entry"]]
    assert [url for url in urls if url.startswith("ServiceRequest")] == [
        "ServiceRequest?identifier=urn:hounsfield:assigner:PLACER|P1",
        "ServiceRequest?identifier=urn:hounsfield:assigner:FILLER|F2",
    ]
    with pytest.raises(DuplicateKey):
        translate(orm() + b"OBR|2|P1^PLACER||30746-2^CT Head^LN\r")


@pytest.mark.parametrize(
    ("control", "status", "expected"),
    [
        ("NW", "", "active"),
        ("XO", "", "active"),
        ("CA", "", "revoked"),
        ("CA", "SC", "revoked"),
        ("DC", "IP", "revoked"),
        ("HD", "", "on-hold"),
        ("SC", "CM", "completed"),
        ("NW", "CA", "revoked"),
        ("NW", "ER", "entered-in-error"),
        ("NW", "ZZ", "active"),
    ],
)
def test_status_follows_order_control_and_order_status(orm, resources, control, status, expected):
    (request,) = resources(orm(ORC=f"ORC|{control}|P1^PLACER|||{status}"), "ServiceRequest")
    assert request["status"] == expected


@pytest.mark.parametrize("control", ["", "ZZ", "SS", "UA", "RF"])
def test_an_order_control_that_is_not_known_here_is_refused(orm, translate, control):
    with pytest.raises(UnknownCode) as refusal:
        translate(orm(ORC=f"ORC|{control}|P1^PLACER"))
    assert refusal.value.erl == "ORC^1^1"
    assert refusal.value.acknowledgement == "AE"


def test_a_status_change_without_status_is_refused(orm, translate):
    with pytest.raises(FieldMissing):
        translate(orm(ORC="ORC|SC|P1^PLACER"))


def test_a_cancellation_that_does_not_repeat_the_order_changes_only_its_status(orm, translate):
    entries = translate(orm(ORC="ORC|CA|P1^PLACER", OBR="")).bundle["entry"]
    (entry,) = [e for e in entries if e["request"]["method"] == "PATCH"]
    assert entry["request"]["url"].endswith(
        "ServiceRequest?identifier=urn:hounsfield:assigner:PLACER|P1"
    )
    parts = {p["name"]: p for p in entry["resource"]["parameter"][0]["part"]}
    assert parts["path"]["valueString"] == "ServiceRequest.status"
    assert parts["value"]["valueCode"] == "revoked"


def test_an_order_without_number_or_without_orc_is_refused(orm, translate):
    with pytest.raises(FieldMissing) as refusal:
        translate(orm(ORC="ORC|NW", OBR="OBR|1|||24627-2^CT^LN"))
    assert refusal.value.erl == "ORC^1^2"
    with pytest.raises(SegmentMissing):
        translate(orm(ORC="", OBR=""))


def test_the_filler_number_is_the_accession_number_where_the_sender_says_so(orm, resources):
    (request,) = resources(orm(), "ServiceRequest", accession="filler")
    assert kinds(request)["ACSN"] == kinds(request)["FILL"]


def test_an_accession_number_without_assigner_takes_the_configured_one_or_the_fillers(
    orm, resources
):
    raw = orm().replace(b"A1^RIS", b"A1")
    (request,) = resources(raw, "ServiceRequest")
    assert kinds(request)["ACSN"] == ("urn:hounsfield:assigner:FILLER", "A1")
    (request,) = resources(raw, "ServiceRequest", accession_assigner="RADIS")
    assert kinds(request)["ACSN"] == ("urn:hounsfield:assigner:RADIS", "A1")
    assert request["identifier"][2]["assigner"] == {"display": "RADIS"}


def test_number_circles_without_assigner_stay_apart(orm, resources):
    raw = orm(ORC="ORC|NW|1|1", OBR="OBR|1|||24627-2^CT^LN")
    (request,) = resources(raw, "ServiceRequest")
    assert kinds(request)["PLAC"][0] == "urn:hounsfield:assigner:HOSP:placer"
    assert kinds(request)["FILL"][0] == "urn:hounsfield:assigner:HOSP:filler"


def test_an_order_of_the_laboratory_is_not_imaging(orm, resources):
    (request,) = resources(orm().replace(b"|CT|", b"|HM|"), "ServiceRequest")
    codes = [c["code"] for category in request["category"] for c in category["coding"]]
    assert codes == ["HM"]


def test_tq1_counts_before_the_older_timing_fields(orm, resources):
    obr = segment("TQ1", f7="20260301080000+0100", f8="20260302080000+0100", f9="A")
    obr = f"{obr}\rOBR|1|||24627-2^CT^LN"
    (request,) = resources(orm(OBR=obr), "ServiceRequest")
    assert request["priority"] == "asap"
    assert request["occurrencePeriod"]["end"] == "2026-03-02T08:00:00+01:00"
    assert "occurrenceDateTime" not in request


def test_a_requester_without_number_is_named_and_not_made_a_practitioner(orm, translate):
    entries = translate(orm(ORC=segment("ORC", f1="NW", f2="P1", f12="^HOUSE^GREGORY"))).bundle[
        "entry"
    ]
    types = [e["resource"]["resourceType"] for e in entries]
    assert "Practitioner" not in types
    (request,) = [
        e["resource"] for e in entries if e["resource"]["resourceType"] == "ServiceRequest"
    ]
    assert request["requester"] == {"type": "Practitioner", "display": "GREGORY HOUSE"}


def test_the_study_instance_uid_of_zds_joins_order_and_study(orm, resources):
    (request,) = resources(orm() + b"ZDS|1.2.840.1^HIS^Application^DICOM\r", "ServiceRequest")
    assert request["identifier"][-1] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}


def test_diagnoses_of_the_order_are_reasons(orm, resources):
    (request,) = resources(orm() + b"DG1|1||J18.9^Pneumonia^I10C\r", "ServiceRequest")
    assert [r["coding"][0]["code"] for r in request["reasonCode"]] == ["R05", "J18.9"]
