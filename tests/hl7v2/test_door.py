"""The inbox on the real server: SQLite, real interactions, real validation, MLLP over loopback."""

import asyncio
import json
import time

import hl7
import pytest

from fhir_server import app
from fhir_server.hl7v2 import mllp
from fhir_server.hl7v2.door import Interactions
from fhir_server.hl7v2.inbox import Inbox
from fhir_server.hl7v2.listener import Limits, Listener, Peer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings

PEER = Peer("127.0.0.1", 1)


@pytest.fixture
async def house(tmp_path):
    async with app.installation(Settings(data=tmp_path), "http://127.0.0.1:1") as found:
        yield found


@pytest.fixture
def inbox(house):
    door = Interactions(lambda tenant: house.ours(tenant, "hl7v2"))
    return Inbox(house.services.documents, door)


@pytest.fixture
def search(house):
    async def run(type_):
        context = house.ours("default", "test")
        response = await dispatch(context, FhirRequest("GET", type_, (("_count", "200"),)))
        return [e["resource"] for e in json.loads(response.body).get("entry", [])]

    return run


def code(ack):
    return str(hl7.parse(ack.decode()).segment("MSA")[1])


async def test_an_admission_and_an_order_are_resources_that_refer_to_each_other(
    inbox, search, adt, orm
):
    assert code(await inbox.receive(adt(), PEER)) == "AA"
    assert code(await inbox.receive(orm(), PEER)) == "AA"
    (patient,), (encounter,) = await search("Patient"), await search("Encounter")
    (request,) = await search("ServiceRequest")
    assert request["subject"]["reference"] == f"Patient/{patient['id']}"
    assert request["encounter"]["reference"] == f"Encounter/{encounter['id']}"
    assert patient["meta"]["versionId"] == encounter["meta"]["versionId"] == "1"
    practitioners = {f"Practitioner/{each['id']}" for each in await search("Practitioner")}
    assert request["requester"]["reference"] in practitioners
    targets = [t["reference"] for p in await search("Provenance") for t in p["target"]]
    assert f"ServiceRequest/{request['id']}" in targets


async def test_a_resend_writes_no_version_and_gets_the_same_ack(house, inbox, orm):
    first = await inbox.receive(orm(), PEER)
    position = await house.services.store.position()
    assert await inbox.receive(orm(), PEER) == first
    assert await house.services.store.position() == position


async def test_a_resend_after_death_between_commit_and_ack_writes_nothing(
    house, inbox, orm, monkeypatch
):
    first = Interactions(lambda tenant: house.ours(tenant, "hl7v2"))

    class Dying(Interactions):
        async def transact(self, tenant, bundle):
            await first.transact(tenant, bundle)
            raise asyncio.CancelledError

    dying = Inbox(house.services.documents, Dying(lambda tenant: house.ours(tenant, "hl7v2")))
    with pytest.raises(asyncio.CancelledError):
        await dying.receive(orm(), PEER)
    position = await house.services.store.position()
    assert position > 0
    assert code(await inbox.receive(orm(), PEER)) == "AA"
    assert await house.services.store.position() == position


async def test_an_update_is_the_next_version_of_the_same_patient(inbox, search, adt):
    await inbox.receive(adt(), PEER)
    update = (
        adt().replace(b"ADT^A04", b"ADT^A08").replace(b"|C1|", b"|C2|").replace(b"JANE", b"ANN")
    )
    assert code(await inbox.receive(update, PEER)) == "AA"
    (patient,) = await search("Patient")
    assert patient["meta"]["versionId"] == "2"
    assert patient["name"][0]["given"][0] == "ANN"
    assert len(await search("Encounter")) == 1


async def test_a_cancellation_alone_changes_the_status_alone(inbox, search, orm):
    await inbox.receive(orm(), PEER)
    cancel = orm(ORC="ORC|CA|P1^PLACER", OBR="").replace(b"|C2|", b"|C3|")
    assert code(await inbox.receive(cancel, PEER)) == "AA"
    (request,) = await search("ServiceRequest")
    assert (request["status"], request["meta"]["versionId"]) == ("revoked", "2")
    assert request["code"]["text"] == "CT Chest"
    unknown = orm(ORC="ORC|CA|P9^PLACER", OBR="").replace(b"|C2|", b"|C4|")
    assert code(await inbox.receive(unknown, PEER)) == "AE"


async def test_unmapped_content_and_refused_messages_are_tasks(inbox, search, adt):
    assert code(await inbox.receive(adt() + b"NK1|1|ROE\r", PEER)) == "AA"
    assert code(await inbox.receive(b"hello", PEER)) == "AR"
    assert code(await inbox.receive(adt().replace(b"^A04", b"^A31"), PEER)) == "AR"
    codes = {task["code"]["coding"][0]["code"] for task in await search("Task")}
    assert codes == {"repair-unmapped", "repair-message", "repair-unsupported"}


async def test_racing_messages_about_one_patient_make_one_patient(inbox, search, adt):
    raws = [adt().replace(b"|C1|", f"|R{n}|".encode()) for n in range(8)]
    acks = await asyncio.gather(*(inbox.receive(raw, PEER) for raw in raws))
    assert [code(ack) for ack in acks] == ["AA"] * 8
    assert len(await search("Patient")) == 1
    assert len(await search("Encounter")) == 1
    assert len(await search("Practitioner")) == 1


async def test_over_mllp_messages_of_many_senders_are_committed_when_acknowledged(
    inbox, search, adt, size
):
    count = size(10, 500)
    listener = Listener("127.0.0.1", 0, inbox.receive, limits=Limits(connections=count))
    await listener.start()
    took = []

    async def one(n):
        raw = adt().replace(b"|C1|", f"|M{n}|".encode()).replace(b"100^^^", f"{n}^^^".encode())
        raw = raw.replace(b"V1^^^", f"V{n}^^^".encode())
        began = time.perf_counter()
        assert code(await mllp.send("127.0.0.1", listener.port, raw)) == "AA"
        took.append(time.perf_counter() - began)

    await asyncio.gather(*(one(n) for n in range(count)))
    await listener.stop()
    assert len(await search("Patient")) == min(count, 200)
    assert len(took) == count
