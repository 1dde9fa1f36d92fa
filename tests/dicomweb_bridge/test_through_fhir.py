"""The bridge over the real server: the same store, validation, search and transactions as production."""

import json
from urllib.parse import urlencode

import dicomweb
import pytest
from dicomweb import HOSPITAL, ct, store

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuer, Issuers
from dicomweb_bridge.ingest import Ingest
from fhir_server import app
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from resources import model, outcome

STUDY = f"{dicomweb.ROOT}.1"


class Server:
    """FHIR as the bridge is given it."""

    def __init__(self, house):
        self.house = house

    async def call(self, method, path, body=None, query=(), tenant="default"):
        context = self.house.ours(tenant, "bridge")
        content = model.serialise(body) if body is not None else b""
        answer = await dispatch(context, FhirRequest(method, path, tuple(query), {}, content))
        if answer.status >= 400:
            raise outcome.Conflict(answer.body.decode())
        return json.loads(answer.body) if answer.body else {}

    async def find(self, tenant, type_, query):
        found = await self.call("GET", type_, query=query, tenant=tenant)
        return [entry["resource"] for entry in found.get("entry", ())]

    async def transact(self, tenant, bundle):
        return await self.call("POST", "", bundle, tenant=tenant)


@pytest.fixture
async def fhir(tmp_path):
    settings, _ = load({"data": str(tmp_path / "data"), "auth": "open"}, {})
    async with app.installation(settings, "http://127.0.0.1:1") as house:
        yield Server(house)


@pytest.fixture
async def archive(tmp_path):
    opened = LocalArchive(tmp_path / "archive")
    await opened.open()
    yield opened
    await opened.close()


def bridge(archive, fhir):
    issuers = Issuers(
        lambda issuer: f"urn:hounsfield:assigner:{issuer.namespace}", accession=Issuer("HOSP")
    )
    return Ingest(
        archive,
        fhir,
        fhir.transact,
        issuers=issuers,
        address=lambda _: "http://127.0.0.1:1/dicom-web",
        now=lambda: dicomweb.NOW,
    )


async def test_a_study_is_told_linked_and_found_by_its_order_and_patient(archive, fhir):
    ingest = bridge(archive, fhir)
    await store(archive, ct())
    assert await ingest.describe("default", STUDY)
    (task,) = await fhir.find("default", "Task", ())
    assert task["status"] == "requested"
    patient = await fhir.call(
        "POST",
        "Patient",
        {"resourceType": "Patient", "identifier": [{"system": HOSPITAL, "value": "P1"}]},
    )
    order = await fhir.call(
        "POST",
        "ServiceRequest",
        {
            "resourceType": "ServiceRequest",
            "identifier": [{"system": HOSPITAL, "value": "A1"}],
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{patient['id']}"},
        },
    )
    await store(archive, ct(number=2))
    assert await ingest.describe("default", STUDY)
    assert await ingest.describe("default", STUDY)
    (study,) = await fhir.find("default", "ImagingStudy", (("patient", patient["id"]),))
    assert study["numberOfInstances"] == 2
    assert study["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    assert study["meta"]["versionId"] == "2"
    for query in (
        {"identifier": f"urn:dicom:uid|urn:oid:{STUDY}"},
        {"basedon": f"ServiceRequest/{order['id']}"},
        {"identifier": f"{HOSPITAL}|A1", "modality": "CT"},
        {"started": "ge2026-01-02T09:11:12Z"},
        {"patient.identifier": f"{HOSPITAL}|P1"},
    ):
        assert len(await fhir.find("default", "ImagingStudy", query.items())) == 1, urlencode(query)
    (task,) = await fhir.find("default", "Task", ())
    assert task["status"] == "completed"
    trail = await fhir.find("default", "Provenance", (("target", f"ImagingStudy/{study['id']}"),))
    assert len(trail) == 2
    assert len(await fhir.find("default", "Endpoint", ())) == 1


async def test_telling_again_after_a_crash_in_between_changes_nothing(archive, fhir):
    await store(archive, ct())

    class Stopped(Exception):
        pass

    async def crash(*_):
        raise Stopped

    noted, archive.described = archive.described, crash
    with pytest.raises(Stopped):
        await bridge(archive, fhir).describe("default", STUDY)
    archive.described = noted
    before = await fhir.house.services.store.position()
    assert await bridge(archive, fhir).reconcile() == 0
    assert await fhir.house.services.store.position() == before
    (study,) = await fhir.find("default", "ImagingStudy", ())
    assert study["meta"]["versionId"] == "1"
