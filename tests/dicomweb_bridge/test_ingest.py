"""From stored instances to ImagingStudy: identity, repair, what is told and when."""

import asyncio

import dicomweb
import pytest
from dicomweb import HOSPITAL, ct, store
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.endpoint import Endpoint
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.provenance import Provenance
from fhir.resources.R4B.task import Task
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuer
from fhir_server.store.port import StoreUnavailable
from resources import outcome

STUDY = f"{dicomweb.ROOT}.1"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


@pytest.fixture
async def archive(tmp_path):
    opened = LocalArchive(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def fhir():
    return dicomweb.Fhir()


def patient(id_="p1", value="P1", system=HOSPITAL, **more):
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": system, "value": value}],
        **more,
    }


def order(id_="o1", value="A1", subject="Patient/p1", **more):
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "identifier": [{"type": ACSN, "system": HOSPITAL, "value": value}],
        "subject": {"reference": subject},
        **more,
    }


async def told(archive, fhir, *files, **known):
    """Store files, tell their study, and give its ImagingStudy."""
    known = {"accession": Issuer("HOSP"), **known}
    await store(archive, *files)
    assert await dicomweb.ingest(archive, fhir, **known).describe("default", STUDY)
    return fhir.one("ImagingStudy")


async def test_a_study_finds_its_patient_and_order(archive, fhir):
    fhir.add(**patient())
    fhir.add(**order())
    study = await told(archive, fhir, ct(), ct(number=2), ct(series=2, Modality="SR"))
    assert study["subject"] == {"reference": "Patient/p1"}
    assert study["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    assert study["identifier"] == [
        {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"},
        {"type": ACSN, "system": HOSPITAL, "value": "A1", "assigner": {"display": "HOSP"}},
    ]
    assert study["started"] == "2026-01-02T10:11:12.5+01:00"
    assert [code["code"] for code in study["modality"]] == ["CT", "SR"]
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, 3)
    assert [one["number"] for one in study["series"][0]["instance"]] == [1, 2]
    assert study["series"][0]["bodySite"]["code"] == "816094009"
    assert study["endpoint"] == [{"reference": f"Endpoint/{fhir.one('Endpoint')['id']}"}]
    assert fhir.one("Endpoint")["address"] == "https://pacs.example/default/dicom-web"
    assert fhir.all("Task") == []
    assert {"reference": "ServiceRequest/o1"} in [
        e["what"] for e in fhir.one("Provenance")["entity"]
    ]
    assert fhir.one("Provenance")["target"] == [{"reference": f"ImagingStudy/{study['id']}"}]


async def test_everything_told_is_valid_by_the_typed_models(archive, fhir):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "24627-2", "LN", "CT Chest"
    local = Dataset()
    local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning = "X1", "99HOSP", "Local"
    files = [
        ct(
            ProcedureCodeSequence=Sequence([code, local]),
            ReasonForPerformedProcedureCodeSequence=Sequence([code]),
            ReferringPhysicianName="House^Gregory^^Dr",
            SeriesDate="20260102",
            SeriesTime="1012",
            Laterality="L",
            BodyPartExamined="UNHEARD",
        )
    ]
    study = await told(archive, fhir, *files)
    ImagingStudy(**study)
    Endpoint(**fhir.one("Endpoint"))
    Provenance(**fhir.one("Provenance"))
    Task(**fhir.one("Task"))
    assert study["procedureCode"][0] == {
        "coding": [{"system": "http://loinc.org", "code": "24627-2", "display": "CT Chest"}],
        "text": "CT Chest",
    }
    assert study["referrer"]["display"] == "Dr Gregory House"
    assert study["series"][0]["started"] == "2026-01-02T10:12:00+01:00"
    assert study["series"][0]["laterality"]["code"] == "7771000"
    assert study["series"][0]["bodySite"] == {"display": "UNHEARD"}


async def test_the_bundle_is_a_valid_transaction(archive, fhir):
    bundles = []

    async def transact(tenant, bundle):
        bundles.append(bundle)
        return await dicomweb.Fhir.transact(fhir, tenant, bundle)

    fhir.transact = transact
    await told(archive, fhir, ct())
    Bundle(**bundles[0])
    urls = [entry["request"]["url"] for entry in bundles[0]["entry"]]
    assert f"ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{STUDY}" in urls


async def test_telling_a_study_twice_writes_nothing_twice(archive, fhir):
    await told(archive, fhir, ct())
    before = list(fhir.writes)
    ingest = dicomweb.ingest(archive, fhir, accession=Issuer("HOSP"))
    assert await ingest.describe("default", STUDY)
    await ingest.follow("default", patient(id_="else"))
    assert fhir.writes == before


async def test_more_instances_change_the_study_and_keep_its_provenance_single(archive, fhir):
    await told(archive, fhir, ct())
    study = await told(archive, fhir, ct(number=2))
    assert study["numberOfInstances"] == 2
    assert len(fhir.all("Provenance")) == 1
    assert fhir.writes.count(f"ImagingStudy/{study['id']}") == 2


async def test_waiting_tellings_of_one_study_merge(archive, fhir):
    ingest = dicomweb.ingest(archive, fhir)
    fhir.gate = asyncio.Event()
    await store(archive, ct())
    first = asyncio.create_task(ingest.describe("default", STUDY))
    await store(archive, *(ct(number=number) for number in range(2, 6)))
    others = [asyncio.create_task(ingest.describe("default", STUDY)) for _ in range(6)]
    fhir.gate.set()
    assert all(await asyncio.gather(first, *others))
    assert fhir.one("ImagingStudy")["numberOfInstances"] == 5
    assert len([one for one in fhir.writes if one.startswith("ImagingStudy")]) <= 2


@pytest.mark.parametrize(
    ("patients", "reason"),
    [
        ([], "No Patient"),
        ([patient(system="urn:other")], "No Patient"),
        ([patient(), patient(id_="p2")], "Several Patients"),
    ],
)
async def test_a_patient_that_is_not_certain_is_a_logical_reference_and_a_task(
    archive, fhir, patients, reason
):
    for one in patients:
        fhir.add(**one)
    fhir.add(**order())
    study = await told(archive, fhir, ct())
    assert study["subject"]["identifier"]["system"] == HOSPITAL
    assert study["subject"]["identifier"]["value"] == "P1"
    assert "reference" not in study["subject"]
    assert "reference" not in study["basedOn"][0]
    task = fhir.one("Task")
    assert task["code"]["coding"][0]["code"] == "repair-subject"
    assert task["statusReason"]["text"].startswith(reason)
    assert task["focus"] == {"reference": f"ImagingStudy/{study['id']}"}
    assert "P1" not in str(task)


async def test_a_patient_id_without_an_issuer_is_resolved_by_the_default_alone(archive, fhir):
    fhir.add(**patient())
    study = await told(archive, fhir, ct(IssuerOfPatientID=""))
    assert "reference" not in study["subject"]
    assert "system" not in study["subject"]["identifier"]
    assert "issuer" in fhir.one("Task")["statusReason"]["text"]
    await archive.delete("default", _place())
    study = await told(archive, fhir, ct(IssuerOfPatientID=""), patient=Issuer("HOSP"))
    assert study["subject"] == {"reference": "Patient/p1"}


def _place():
    from dicomweb_bridge.archive.port import Where

    return Where(STUDY)


async def test_a_study_without_a_patient_id_has_an_unknown_subject(archive, fhir):
    study = await told(archive, fhir, ct(PatientID=""))
    assert study["subject"]["extension"][0]["valueCode"] == "unknown"
    assert fhir.one("Task")["code"]["coding"][0]["code"] == "repair-subject"


async def test_an_issuers_universal_id_goes_with_its_name(archive, fhir):
    seen = []
    qualifier = Dataset()
    qualifier.UniversalEntityID, qualifier.UniversalEntityIDType = "1.2.3", "ISO"
    accession = Dataset()
    accession.LocalNamespaceEntityID = "RIS"
    ingest = dicomweb.ingest(archive, fhir)
    ingest._issuers = dicomweb.Issuers(lambda issuer: seen.append(issuer) or "urn:x")
    await store(
        archive,
        ct(
            IssuerOfPatientIDQualifiersSequence=Sequence([qualifier]),
            IssuerOfAccessionNumberSequence=Sequence([accession]),
        ),
    )
    assert await ingest.describe("default", STUDY)
    assert seen == [Issuer("HOSP", "1.2.3", "ISO"), Issuer("RIS")]


async def test_a_merged_patients_studies_belong_to_the_survivor(archive, fhir):
    link = [{"type": "replaced-by", "other": {"reference": "Patient/p2"}}]
    fhir.add(**patient(link=link))
    fhir.add(**patient(id_="p2", value="P2"))
    fhir.add(**order())
    study = await told(archive, fhir, ct())
    assert study["subject"] == {"reference": "Patient/p2"}
    assert study["basedOn"] == [{"reference": "ServiceRequest/o1"}]


async def test_an_order_of_another_patient_is_not_linked_and_becomes_a_task(archive, fhir):
    fhir.add(**patient())
    fhir.add(**patient(id_="p2", value="P2"))
    fhir.add(**order(subject="Patient/p2"))
    study = await told(archive, fhir, ct())
    assert study["subject"] == {"reference": "Patient/p1"}
    assert study["basedOn"][0]["identifier"]["value"] == "A1"
    assert "reference" not in study["basedOn"][0]
    task = fhir.one("Task")
    assert task["code"]["coding"][0]["code"] == "repair-order"
    assert task["contained"][0]["issue"][0]["expression"] == ["ImagingStudy.basedOn"]


async def test_two_orders_with_one_accession_number_are_not_chosen_from(archive, fhir):
    fhir.add(**patient())
    fhir.add(**order())
    fhir.add(**order(id_="o2"))
    study = await told(archive, fhir, ct())
    assert "reference" not in study["basedOn"][0]
    assert fhir.one("Task")["statusReason"]["text"].startswith("Several orders")


async def test_an_order_that_has_the_number_as_another_kind_is_not_taken(archive, fhir):
    fhir.add(**patient())
    placer = {"coding": [{"code": "PLAC"}]}
    fhir.add(**order(identifier=[{"type": placer, "system": HOSPITAL, "value": "A1"}]))
    study = await told(archive, fhir, ct())
    assert "reference" not in study["basedOn"][0]
    assert fhir.all("Task") == []


async def test_an_accession_number_without_a_known_issuer_links_nothing(archive, fhir):
    fhir.add(**patient())
    fhir.add(**order())
    study = await told(archive, fhir, ct(), accession=Issuer())
    assert study["basedOn"][0]["identifier"] == {"type": ACSN, "value": "A1"}


async def test_a_patient_and_order_that_come_later_are_linked_and_the_task_completed(archive, fhir):
    await told(archive, fhir, ct())
    ingest = dicomweb.ingest(archive, fhir, accession=Issuer("HOSP"))
    fhir.add(**patient())
    assert await ingest.follow("default", patient()) == 1
    assert fhir.one("ImagingStudy")["subject"] == {"reference": "Patient/p1"}
    assert fhir.one("Task")["status"] == "completed"
    fhir.add(**order())
    assert await ingest.follow("default", order()) == 1
    assert fhir.one("ImagingStudy")["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    activities = {p["activity"]["coding"][0]["code"] for p in fhir.all("Provenance")}
    assert activities == {"CREATE", "UPDATE"}


async def test_what_people_wrote_on_the_study_is_kept(archive, fhir):
    study = await told(archive, fhir, ct())
    fhir.add(
        **{
            **study,
            "status": "entered-in-error",
            "note": [{"text": "wrong room"}],
            "subject": {"reference": "Patient/chosen"},
            "identifier": [*study["identifier"], {"system": "urn:ris", "value": "1"}],
        }
    )
    study = await told(archive, fhir, ct(number=2))
    assert study["status"] == "entered-in-error"
    assert study["note"] == [{"text": "wrong room"}]
    assert study["subject"] == {"reference": "Patient/chosen"}
    assert study["identifier"][-1] == {"system": "urn:ris", "value": "1"}
    assert study["numberOfInstances"] == 2


@pytest.mark.parametrize(
    "fault", [outcome.Unavailable("no"), StoreUnavailable(), outcome.Invalid("no")]
)
async def test_a_study_that_can_not_be_told_stays_to_be_told(archive, fhir, fault):
    await store(archive, ct())
    ingest = dicomweb.ingest(archive, fhir)
    fhir.fault = fault
    assert not await ingest.describe("default", STUDY)
    assert await ingest.reconcile() == 1
    fhir.fault = None
    assert await ingest.reconcile() == 0
    assert fhir.one("ImagingStudy")["numberOfInstances"] == 1
    assert await archive.undescribed() == []


async def test_a_race_with_another_writer_is_run_again(archive, fhir):
    await store(archive, ct())
    calls = []

    async def racing(tenant, bundle):
        calls.append(bundle)
        if len(calls) < 3:
            raise outcome.PreconditionFailed("raced")
        return await dicomweb.Fhir.transact(fhir, tenant, bundle)

    fhir.transact = racing
    assert await dicomweb.ingest(archive, fhir).describe("default", STUDY)
    assert len(calls) == 3


async def test_a_large_study_lists_no_instances(archive, fhir):
    study = await told(archive, fhir, *(ct(number=number) for number in range(1, 202)))
    assert study["numberOfInstances"] == 201
    assert study["series"][0]["numberOfInstances"] == 201
    assert "instance" not in study["series"][0]


async def test_an_address_that_changed_is_told_by_the_same_endpoint(archive, fhir):
    await told(archive, fhir, ct())
    before = fhir.one("Endpoint")["id"]
    await store(archive, ct(number=2))
    ingest = dicomweb.ingest(archive, fhir)
    ingest._address = lambda tenant: f"https://new.example/{tenant}"
    assert await ingest.describe("default", STUDY)
    assert fhir.one("Endpoint")["id"] == before
    assert fhir.one("Endpoint")["address"] == "https://new.example/default"
