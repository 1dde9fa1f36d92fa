"""The inbox: stored first, committed before the ACK, once for each message, and nothing lost silently."""

import asyncio
import json

import hl7
import pytest
import structlog
from structlog.processors import JSONRenderer
from v2 import segment

from fhir_server import logs
from fhir_server.hl7v2 import inbox as inbox_
from fhir_server.hl7v2.inbox import Inbox
from fhir_server.hl7v2.listener import Listener, Peer
from fhir_server.hl7v2.mllp import send
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.store.port import StoreUnavailable
from resources.outcome import Conflict, PreconditionFailed, Unprocessable

PEER = Peer("127.0.0.1", 1)


class Clock:
    """A clock that moves a second each time it is read."""

    def __init__(self):
        self.now = 1_767_703_458_000

    def __call__(self):
        self.now += 1000
        return self.now


@pytest.fixture
def inbox(documents, door):
    return Inbox(documents, door, clock=Clock())


def code(ack):
    return str(hl7.parse(ack.decode()).segment("MSA")[1])


def error(ack):
    return str(hl7.parse(ack.decode()).segment("ERR")[3]).split("^")[0]


async def only_record(inbox, tenant="default"):
    (key,) = await inbox.records.keys(tenant)
    return key, await inbox.records.get(tenant, key)


async def test_an_order_is_committed_and_acknowledged(inbox, door, orm):
    assert code(await inbox.receive(orm(), PEER)) == "AA"
    (patient,), (request,) = door.all("Patient"), door.all("ServiceRequest")
    assert request["subject"]["reference"] == f"Patient/{patient['id']}"
    _, record = await only_record(inbox)
    assert record.state == "accepted"
    assert record.raw == orm()


async def test_the_message_is_kept_before_it_is_committed(inbox, door, documents, adt):
    seen = []
    transact = door.transact

    async def watched(tenant, bundle):
        seen.append((await only_record(inbox))[1].state)
        return await transact(tenant, bundle)

    door.transact = watched
    await inbox.receive(adt(), PEER)
    assert seen == ["received"]


async def test_a_resend_gets_the_same_ack_and_changes_nothing(inbox, door, orm):
    first = await inbox.receive(orm(), PEER)
    before, commits = door.versions(), door.commits
    assert await inbox.receive(orm(), PEER) == first
    assert door.versions() == before
    assert door.commits == commits


async def test_a_resend_after_a_restart_gets_the_same_ack(inbox, door, documents, adt):
    first = await inbox.receive(adt(), PEER)
    later = Inbox(documents, door, clock=Clock())
    assert await later.receive(adt(), PEER) == first


async def test_death_between_commit_and_ack_leaves_nothing_to_do_for_the_resend(
    inbox, door, documents, orm
):
    door.after_commit = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await inbox.receive(orm(), PEER)
    _, record = await only_record(inbox)
    assert record.state == "received"
    before, commits = door.versions(), door.commits
    door.after_commit = None
    later = Inbox(documents, door, clock=Clock())
    assert code(await later.receive(orm(), PEER)) == "AA"
    assert door.versions() == before
    assert door.commits == commits


async def test_death_before_the_commit_leaves_the_message_to_the_resend(inbox, door, orm):
    door.fault = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await inbox.receive(orm(), PEER)
    assert door.all("ServiceRequest") == []
    door.fault = None
    assert code(await inbox.receive(orm(), PEER)) == "AA"
    assert len(door.all("ServiceRequest")) == 1


async def test_the_same_message_twice_at_once_is_committed_once(inbox, door, orm):
    acks = await asyncio.gather(*(inbox.receive(orm(), PEER) for _ in range(5)))
    assert len(set(acks)) == 1
    assert door.commits == 1


async def test_an_update_changes_the_same_patient_and_encounter(inbox, door, adt):
    await inbox.receive(adt(), PEER)
    msh = adt().split(b"\r")[0].decode().replace("A04^ADT_A01|C1", "A08^ADT_A01|C9")
    pid = segment("PID", f3="100^^^HOSP^MR", f5="DOE^JANET")
    assert code(await inbox.receive(adt(MSH=msh, PID=pid), PEER)) == "AA"
    (patient,), (encounter,) = door.all("Patient"), door.all("Encounter")
    assert patient["name"][0]["given"] == ["JANET"]
    assert encounter["subject"]["reference"] == f"Patient/{patient['id']}"


async def test_an_order_for_a_known_patient_keeps_what_adt_told(inbox, door, adt, orm):
    await inbox.receive(adt(), PEER)
    await inbox.receive(orm(), PEER)
    (patient,), (request,) = door.all("Patient"), door.all("ServiceRequest")
    assert patient["address"][0]["city"] == "Paris"
    assert request["subject"]["reference"] == f"Patient/{patient['id']}"
    assert len(door.all("Encounter")) == 1


async def test_a_cancelled_order_keeps_what_it_was(inbox, door, orm):
    await inbox.receive(orm(), PEER)
    cancel = orm(ORC="ORC|CA|P1^PLACER", OBR="").replace(b"|C2|", b"|C3|")
    assert code(await inbox.receive(cancel, PEER)) == "AA"
    (request,) = door.all("ServiceRequest")
    assert request["status"] == "revoked"
    assert request["code"]["text"] == "CT Chest"


async def test_cancelling_an_order_that_is_not_known_is_refused(inbox, door, orm):
    ack = await inbox.receive(orm(ORC="ORC|CA|P1^PLACER", OBR=""), PEER)
    assert (code(ack), error(ack)) == ("AE", "204")
    assert door.all("Patient") == []


async def test_an_event_without_map_is_rejected_kept_and_visible_as_one_task(inbox, door, adt):
    for control_id in ("X1", "X2"):
        msh = segment("MSH", f3="ADT", f4="HOSP", f9="ADT^A31", f10=control_id, f12="2.5.1")
        ack = await inbox.receive(adt(MSH=msh), PEER)
        assert (code(ack), error(ack)) == ("AR", "201")
    (task,) = door.all("Task")
    assert task["code"]["coding"][0]["code"] == "repair-unsupported"
    assert len(await inbox.records.keys("default")) == 2


async def test_a_type_without_map_is_rejected(inbox, adt):
    msh = segment("MSH", f3="A", f9="MFN^M02", f10="1", f12="2.5")
    ack = await inbox.receive(adt(MSH=msh), PEER)
    assert (code(ack), error(ack)) == ("AR", "200")


async def test_a_refused_message_is_tried_again_and_its_task_completed(inbox, door, adt):
    door.fault = Unprocessable("wrong", expression="Bundle.entry[0].resource.birthDate")
    ack = await inbox.receive(adt(), PEER)
    assert (code(ack), error(ack)) == ("AE", "207")
    assert door.all("Task") == []
    door.fault = None
    raw = adt(PID=segment("PID", f5="DOE"))
    assert code(await inbox.receive(raw, PEER)) == "AE"
    (task,) = door.all("Task")
    assert task["code"]["coding"][0]["code"] == "repair-message"
    assert code(await inbox.receive(adt(), PEER)) == "AA"
    assert [task["status"] for task in door.all("Task")].count("completed") == 1


async def test_a_kept_message_can_be_replayed(inbox, door, adt):
    door.fault = StoreUnavailable()
    assert code(await inbox.receive(adt(), PEER)) == "AE"
    door.fault = None
    key, record = await only_record(inbox)
    assert record.state == "refused"
    assert code(await inbox.replay("default", key)) == "AA"
    assert len(door.all("Patient")) == 1
    with pytest.raises(KeyError):
        await inbox.replay("default", "no such key")


async def test_races_are_tried_again(inbox, door, adt):
    transact, faults = door.transact, [Conflict("raced"), PreconditionFailed("stale")]

    async def racing(tenant, bundle):
        if faults:
            raise faults.pop()
        return await transact(tenant, bundle)

    door.transact = racing
    assert code(await inbox.receive(adt(), PEER)) == "AA"
    assert faults == []


async def test_an_identifier_that_finds_several_resources_is_refused(inbox, door, adt):
    door.fault = PreconditionFailed("several", issue="multiple-matches")
    ack = await inbox.receive(adt(), PEER)
    assert (code(ack), error(ack)) == ("AE", "205")


async def test_an_unexpected_fault_is_ae_and_neither_ack_nor_log_tells_the_patient(
    inbox, door, adt, monkeypatch
):
    lines = []
    processors = [
        logs._place_of_fault,
        JSONRenderer(),
        lambda *event: lines.append(event[-1]) or "",
    ]
    logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors)
    monkeypatch.setattr(inbox_, "_log", logger)
    door.fault = RuntimeError("DOE JANE 19790328")
    ack = await inbox.receive(adt(), PEER)
    assert (code(ack), error(ack)) == ("AE", "207")
    _, record = await only_record(inbox)
    assert record.state == "refused"
    assert b"DOE" not in ack
    assert "RuntimeError" in lines[0]
    assert "DOE" not in "".join(lines)
    door.fault = None
    assert code(await inbox.receive(adt(), PEER)) == "AA"


async def test_the_ack_of_a_refused_message_holds_no_value_of_it(inbox, adt):
    ack = await inbox.receive(adt(PID=segment("PID", f5="DOE^JANE", f7="19790328")), PEER)
    assert code(ack) == "AE"
    assert not any(word in ack for word in (b"DOE", b"JANE", b"1979"))


async def test_unreadable_bytes_are_rejected_and_kept(inbox, door):
    ack = await inbox.receive(b"hello", PEER)
    assert (code(ack), error(ack)) == ("AR", "100")
    _, record = await only_record(inbox)
    assert record.raw == b"hello"
    assert len(door.all("Task")) == 1


async def test_another_body_under_the_same_control_id_is_taken_and_told(inbox, door, adt):
    await inbox.receive(adt(), PEER)
    other = adt(PID=segment("PID", f3="200^^^HOSP^MR", f5="ROE"))
    assert code(await inbox.receive(other, PEER)) == "AA"
    assert len(door.all("Patient")) == 2
    assert any(
        "had this control id" in each["valueString"]
        for task in door.all("Task")
        for each in task["input"]
    )


async def test_unmapped_content_is_one_task_for_a_kind_of_messages(inbox, door, adt):
    for n in range(3):
        raw = adt().replace(b"|C1|", f"|C{n}|".encode()) + b"NK1|1|ROE\rNK1|2|POE\r"
        assert code(await inbox.receive(raw, PEER)) == "AA"
    (task,) = door.all("Task")
    told = [each["valueString"] for each in task["input"]]
    assert told == ["NK1: no map reads this segment"]
    assert inbox.unmapped["ADT^A04", "NK1"] == 6
    assert "ROE" not in json.dumps(task)
    assert max(door.versions().values()) == 1
    await inbox.receive(adt().replace(b"|C1|", b"|C7|") + b"ZZZ|1\r", PEER)
    (task,) = door.all("Task")
    assert [each["valueString"][:3] for each in task["input"]] == ["NK1", "ZZZ"]


async def test_tenants_and_unknown_senders_follow_the_configuration(documents, door, adt, orm):
    known = Sender(application="ADT", facility="HOSP", tenant="north")
    inbox = Inbox(documents, door, Senders((known,), None), clock=Clock())
    assert code(await inbox.receive(adt(), PEER)) == "AA"
    assert len(door.all("Patient", "north")) == 1
    assert door.all("Patient") == []
    ack = await inbox.receive(orm(), PEER)
    assert (code(ack), error(ack)) == ("AR", "204")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("f10", "", ("AE", "101")), ("f12", "3.0", ("AR", "203")), ("f11", "D", ("AR", "202"))],
)
async def test_control_id_version_and_processing_id_are_checked(
    documents, door, adt, field, value, expected
):
    production = Sender(processing=frozenset({"P"}))
    inbox = Inbox(documents, door, Senders(default=production), clock=Clock())
    fields = {"f3": "A", "f9": "ADT^A04", "f10": "1", "f11": "P", "f12": "2.5"} | {field: value}
    ack = await inbox.receive(adt(MSH=segment("MSH", **fields)), PEER)
    assert (code(ack), error(ack)) == expected


async def test_over_mllp_the_ack_comes_after_the_commit(inbox, door, adt):
    listener = Listener("127.0.0.1", 0, inbox.receive)
    await listener.start()
    ack = await send("127.0.0.1", listener.port, adt())
    assert code(ack) == "AA"
    assert len(door.all("Patient")) == 1
    await listener.stop()
