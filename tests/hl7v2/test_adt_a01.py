"""ADT^A01, A04, A08: one Patient and one Encounter, found again by their identifiers."""

import pytest
from v2 import segment

from fhir_server.hl7v2.refusal import FieldMissing, SegmentMissing


def test_the_patient_has_names_birth_date_gender_address_and_telecom(adt, resources):
    (patient,) = resources(adt(), "Patient")
    assert patient["name"] == [
        {"family": "DOE", "given": ["JANE", "Q"], "prefix": ["DR"], "use": "official"}
    ]
    assert (patient["birthDate"], patient["gender"]) == ("1979-03-28", "female")
    assert patient["address"] == [
        {
            "line": ["1 Main St", "Apt 2"],
            "city": "Paris",
            "postalCode": "75007",
            "country": "FRA",
            "use": "home",
        }
    ]
    assert patient["telecom"] == [
        {"system": "phone", "value": "0123456789", "use": "home"},
        {"system": "email", "value": "jane@example.org", "use": "home"},
    ]
    assert patient["maritalStatus"]["coding"][0]["code"] == "M"


def test_identifiers_are_typed_and_assigned(adt, resources):
    (patient,) = resources(adt(), "Patient", assigners={"HOSP": "urn:oid:1.2.3"})
    first, second = patient["identifier"]
    assert (first["system"], first["value"]) == ("urn:oid:1.2.3", "100")
    assert first["type"]["coding"][0]["code"] == "MR"
    assert first["assigner"] == {"display": "HOSP"}
    assert second["system"] == "http://hl7.org/fhir/sid/us-ssn"


def test_patient_and_encounter_are_conditional_updates_by_identifier(adt, translate):
    requests = [e["request"] for e in translate(adt()).bundle["entry"]]
    assert [r["method"] for r in requests] == ["PUT", "POST", "PUT", "PUT"]
    assert requests[0]["url"] == "Patient?identifier=urn:hounsfield:assigner:HOSP|100"
    assert requests[1]["ifNoneExist"] == "identifier=urn:hounsfield:assigner:AccMgr|37"
    assert requests[2]["url"] == "Encounter?identifier=urn:hounsfield:assigner:HOSP|V1"


def test_the_encounter_tells_class_status_place_doctor_and_admission(adt, resources):
    (encounter,) = resources(adt(), "Encounter")
    assert encounter["class"]["code"] == "AMB"
    assert encounter["status"] == "in-progress"
    assert encounter["period"] == {"start": "2026-01-06T13:40:00+01:00"}
    assert encounter["location"][0]["location"]["identifier"]["value"] == "RAD^1^2"
    (participant,) = encounter["participant"]
    assert participant["type"][0]["coding"][0]["code"] == "ATND"
    assert participant["individual"]["display"] == "DR WALT DISNEY"


def test_the_same_message_gives_the_same_bundle(adt, translate):
    assert translate(adt()) == translate(adt())


def test_another_tenant_or_assigner_gives_other_placeholders(adt, translate):
    one, other, third = (
        translate(adt(), **settings).bundle["entry"][0]["fullUrl"]
        for settings in ({}, {"tenant": "other"}, {"assigners": {"HOSP": "urn:oid:1.2"}})
    )
    assert len({one, other, third}) == 3


def test_a_discharge_finishes_the_encounter(adt, resources):
    pv1 = segment("PV1", f2="I", f19="V1^^^HOSP", f44="20260101", f45="20260102")
    (encounter,) = resources(adt(PV1=pv1), "Encounter")
    assert encounter["status"] == "finished"
    assert encounter["period"] == {"start": "2026-01-01", "end": "2026-01-02"}


@pytest.mark.parametrize(
    ("pid", "found"),
    [
        ("PID|||1^^^A^XX~2^^^A^MR", "2"),
        ("PID|||9^^^USSSA^SS~1^^^A", "1"),
        ("PID||7^^^A", "7"),
        ("PID|||~5", "5"),
        ("PID||||8^^^A", "8"),
    ],
)
def test_the_best_identifier_finds_the_patient(adt, translate, pid, found):
    url = translate(adt(PID=pid)).bundle["entry"][0]["request"]["url"]
    assert url.endswith(f"|{found}")


def test_an_identifier_without_assigner_is_the_sending_facilitys(adt, resources):
    (patient,) = resources(adt(PID="PID|||100"), "Patient")
    assert patient["identifier"] == [{"system": "urn:hounsfield:assigner:HOSP", "value": "100"}]
    (patient,) = resources(adt(PID="PID|||100"), "Patient", assigner="CITY HOSPITAL")
    assert patient["identifier"][0]["system"] == "urn:hounsfield:assigner:CITY%20HOSPITAL"


def test_a_patient_without_identifier_is_refused(adt, translate):
    with pytest.raises(FieldMissing) as refusal:
        translate(adt(PID="PID|1||||DOE^JANE"))
    assert refusal.value.erl == "PID^1^3"
    with pytest.raises(FieldMissing):
        translate(adt(PID="PID|1||987654321^^^USSSA^SS"))


def test_a_message_without_pid_is_refused(adt, translate):
    with pytest.raises(SegmentMissing):
        translate(adt(PID=""))


def test_a_visit_without_number_is_found_by_admission_time_or_account(adt, resources, translate):
    same = [
        resources(adt(PV1=segment("PV1", f2=kind, f44="202601011200")), "Encounter")[0][
            "identifier"
        ]
        for kind in ("O", "I")
    ]
    assert same[0] == same[1]
    assert same[0][0]["system"] == "urn:hounsfield:derived:visit"
    other = resources(adt(PV1=segment("PV1", f2="O", f44="202601011300")), "Encounter")[0][
        "identifier"
    ]
    assert other != same[0]
    account = segment("PID", f3="100^^^HOSP", f18="ACC^^^HOSP")
    (encounter,) = resources(adt(PID=account, PV1="PV1|1|O"), "Encounter")
    assert encounter["account"][0]["identifier"]["value"] == "ACC"


def test_an_update_of_a_visit_that_nothing_identifies_writes_none_and_says_so(adt, translate):
    msh = "MSH|^~\\&|ADT|HOSP|||20260106134418+0100||ADT^A08|C1|P|2.5.1"
    done = translate(adt(MSH=msh, PV1="PV1|1|O"))
    types = [e["resource"]["resourceType"] for e in done.bundle["entry"]]
    assert types == ["Patient", "Provenance"]
    assert "PV1-19: nothing identifies the visit, which is not written" in [
        gap.text for gap in done.coverage.gaps
    ]


def test_birth_time_needs_a_zone(adt, resources):
    born = adt(
        PID="PID|||1^^^A||||197903281005", MSH=adt().split(b"\r")[0].decode().replace("+0100", "")
    )
    (patient,) = resources(born, "Patient")
    assert patient["birthDate"] == "1979-03-28"
    assert "_birthDate" not in patient
    (patient,) = resources(born, "Patient", zone="Europe/Paris")
    time = patient["_birthDate"]["extension"][0]["valueDateTime"]
    assert time == "1979-03-28T10:05:00+01:00"


def test_unreadable_dates_and_codes_are_told_and_left_out(adt, translate, resources):
    raw = adt(PID="PID|||1^^^A||||19791399|Q")
    (patient,) = resources(raw, "Patient")
    assert "birthDate" not in patient
    assert "gender" not in patient
    places = {gap.place for gap in translate(raw).coverage.gaps}
    assert {"PID-7", "PID-8"} <= places


def test_death_multiple_birth_and_what_has_an_extension(adt, resources):
    pid = segment(
        "PID",
        f3="1^^^A",
        f6="SMITH^ANN",
        f23="Paris",
        f24="Y",
        f25="2",
        f28="BT",
        f29="20250101",
        f30="Y",
    )
    (patient,) = resources(adt(PID=pid), "Patient")
    assert patient["multipleBirthInteger"] == 2
    assert patient["deceasedDateTime"] == "2025-01-01"
    assert "deceasedBoolean" not in patient
    urls = [extension["url"].rpartition("/")[2] for extension in patient["extension"]]
    assert urls == ["patient-mothersMaidenName", "patient-birthPlace", "patient-nationality"]


def test_provenance_names_sender_message_and_every_resource(adt, translate):
    done = translate(adt())
    provenance = done.bundle["entry"][-1]["resource"]
    assert provenance["id"] == done.marker
    assert provenance["agent"][0]["who"] == {"display": "ADT at HOSP"}
    assert provenance["entity"][0]["what"]["identifier"]["value"] == "C1"
    assert provenance["occurredDateTime"] == "2026-01-06T13:44:00+01:00"
    targets = [target["reference"] for target in provenance["target"]]
    assert targets == [entry["fullUrl"] for entry in done.bundle["entry"][:-1]]
