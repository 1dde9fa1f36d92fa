"""Client libraries of others, unmodified, against the real server: CRUD, search, paging, Bundles."""

import uuid

import pytest
import requests
from fhirclient import server as fhirclient_server
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.coding import Coding
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound
from served import Served


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("data"))
    yield served.base
    assert served.stop() == 0


@pytest.fixture
def fhirpy(base):
    return SyncFHIRClient(base)


@pytest.fixture
def family():
    """A family name of this test alone."""
    return f"F{uuid.uuid4().hex[:10]}"


def named(client, family, given):
    patient = client.resource("Patient", name=[{"family": family, "given": [given]}], active=True)
    patient.create()
    return patient


# --- fhirpy ---------------------------------------------------------------------------------------


def test_fhirpy_creates_reads_updates_and_deletes(fhirpy, family):
    patient = named(fhirpy, family, "Ann")
    assert patient["meta"]["versionId"] == "1"
    patient["gender"] = "female"
    patient.save()
    assert patient["meta"]["versionId"] == "2"
    read = fhirpy.reference("Patient", patient.id).to_resource()
    assert (read["gender"], read["name"][0]["given"]) == ("female", ["Ann"])
    patient.delete()
    with pytest.raises(ResourceNotFound):
        fhirpy.reference("Patient", patient.id).to_resource()


def test_fhirpy_searches_sorts_counts_and_pages(fhirpy, family):
    for given in ("Cid", "Ann", "Bob"):
        named(fhirpy, family, given)
    found = fhirpy.resources("Patient").search(family=family).sort("given")
    assert [p["name"][0]["given"][0] for p in found.fetch()] == ["Ann", "Bob", "Cid"]
    assert [p["name"][0]["given"][0] for p in found.limit(1).fetch_all()] == ["Ann", "Bob", "Cid"]
    assert found.first()["name"][0]["given"] == ["Ann"]
    part = fhirpy.resources("Patient").search(family=family).elements("gender").fetch()
    assert all("name" not in p for p in part)


def test_fhirpy_includes_and_reverse_chains(fhirpy, family):
    patient = named(fhirpy, family, "Ann")
    seen = fhirpy.resource(
        "Observation", status="final", code={"text": family}, subject=patient.to_reference()
    )
    seen.create()
    searched = fhirpy.resources("Observation").search(patient=patient.id)
    raw = searched.include("Observation", "subject").fetch_raw()
    assert [e.resource["resourceType"] for e in raw.entry] == ["Observation", "Patient"]
    holders = fhirpy.resources("Patient").has("Observation", "patient", _id=seen.id).fetch()
    assert [p.id for p in holders] == [patient.id]


def test_fhirpy_hears_clearly_what_is_one_vendors_own(base, fhirpy, family):
    """It counts with a parameter, creates with a query, and patches with a form that R4 does not have."""
    patient = named(fhirpy, family, "Ann")
    searched = fhirpy.resources("Patient").search(family=family)
    with pytest.raises(OperationOutcome, match="_totalMethod"):
        searched.count()
    lenient = SyncFHIRClient(base, extra_headers={"Prefer": "handling=lenient"})
    assert lenient.resources("Patient").search(family=family).count() == 1
    with pytest.raises(OperationOutcome, match="takes no such parameter: family"):
        searched.get_or_create(fhirpy.resource("Patient"))
    with pytest.raises(OperationOutcome, match="resourceType"):
        patient.save(fields=["active"])


def test_fhirpy_conditional_writes_and_their_refusals(fhirpy, family):
    for given in ("Ann", "Bob"):
        named(fhirpy, family, given)
    searched = fhirpy.resources("Patient").search(family=family)
    with pytest.raises(MultipleResourcesFound):
        searched.get()
    with pytest.raises(MultipleResourcesFound):
        searched.delete()
    one = fhirpy.resources("Patient").search(family=family, given="Ann")
    changed, made = one.update(
        fhirpy.resource("Patient", name=[{"family": family, "given": ["Ann"]}])
    )
    assert (made, changed["meta"]["versionId"]) == (False, "2")
    one.delete()
    with pytest.raises(ResourceNotFound):
        one.get()


def test_fhirpy_reads_the_words_of_a_refusal(fhirpy):
    with pytest.raises(OperationOutcome) as refused:
        fhirpy.resource("Patient", gender="purple").create()
    assert "gender" in str(refused.value)


def test_fhirpy_sends_a_batch_and_a_transaction(fhirpy, family):
    entry = {
        "fullUrl": "urn:uuid:7c1b4f0e-9d0c-4b60-9d6e-0123456789ab",
        "request": {"method": "POST", "url": "Patient"},
        "resource": {"resourceType": "Patient", "name": [{"family": family}]},
    }
    seen = {
        "request": {"method": "POST", "url": "Observation"},
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": entry["fullUrl"]},
        },
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry, seen]}
    answered = fhirpy.execute("", method="post", data=bundle)
    assert [e["response"]["status"][:3] for e in answered["entry"]] == ["201", "201"]
    found = fhirpy.resources("Observation").search(patient__Patient__family=family).fetch()
    assert len(found) == 1
    reads = [{"request": {"method": "GET", "url": f"Patient?family={family}"}}]
    batch = fhirpy.execute("", method="post", data={**bundle, "type": "batch", "entry": reads})
    assert batch["entry"][0]["resource"]["total"] == 1


async def test_fhirpy_async_iterates_over_pages(base, family):
    client = AsyncFHIRClient(base)
    for n in range(5):
        await client.resource("Patient", name=[{"family": family, "given": [f"N{n}"]}]).create()
    searched = client.resources("Patient").search(family=family).limit(2).sort("given")
    assert [p["name"][0]["given"][0] async for p in searched] == ["N0", "N1", "N2", "N3", "N4"]


# --- fhirclient, the SMART project's --------------------------------------------------------------


@pytest.fixture
def smart(base):
    return fhirclient_server.FHIRServer(None, base_uri=base)


def person(family, given="Ann"):
    patient = Patient()
    patient.name = [HumanName({"family": family, "given": [given]})]
    patient.gender = "female"
    return patient


def test_fhirclient_creates_reads_updates_and_deletes(smart, family):
    made = person(family).create(smart)
    read = Patient.read(made["id"], smart)
    assert (read.gender, read.name[0].family) == ("female", family)
    read.gender = "other"
    assert read.update(smart)["meta"]["versionId"] == "2"
    read.delete(smart)
    with pytest.raises(requests.HTTPError) as gone:
        Patient.read(made["id"], smart)
    assert gone.value.response.status_code == 410


def test_fhirclient_searches_pages_and_includes(smart, family):
    for given in ("Ann", "Bob", "Cid"):
        person(family, given).create(smart)
    search = Patient.where({"family": family, "_count": "2", "_sort": "given"})
    assert [p.name[0].given[0] for p in search.perform_resources_iter(smart)] == [
        "Ann",
        "Bob",
        "Cid",
    ]
    pages = [len(page.entry) for page in search.perform_iter(smart)]
    assert pages == [2, 1]


def test_fhirclient_writes_an_observation_of_a_patient(smart, family):
    made = person(family).create(smart)
    seen = Observation()
    seen.status = "final"
    seen.code = CodeableConcept({"coding": [{"system": "http://loinc.org", "code": "718-7"}]})
    assert isinstance(seen.code.coding[0], Coding)
    seen.subject = FHIRReference({"reference": f"Patient/{made['id']}"})
    seen.create(smart)
    found = Observation.where({"patient": made["id"], "code": "http://loinc.org|718-7"})
    assert len(list(found.perform_resources_iter(smart))) == 1


def test_fhirclient_sends_a_transaction(smart, family):
    entry = BundleEntry()
    entry.resource = person(family)
    entry.request = BundleEntryRequest({"method": "POST", "url": "Patient"})
    bundle = Bundle()
    bundle.type = "transaction"
    bundle.entry = [entry]
    answered = Bundle(smart.post_json("", bundle.as_json()).json())
    assert answered.type == "transaction-response"
    assert answered.entry[0].response.status.startswith("201")
    assert len(list(Patient.where({"family": family}).perform_resources_iter(smart))) == 1


def test_fhirclient_reads_the_capability_statement(smart):
    statement = smart.capabilityStatement
    assert statement.fhirVersion == "4.0.1"
    assert "Patient" in {resource.type for resource in statement.rest[0].resource}
