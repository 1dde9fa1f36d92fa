"""Records become AuditEvents once: over batches, crashes of the teller, and several journals."""

import pytest

from fhir_server.audit.event import event
from fhir_server.audit.following import Following
from fhir_server.audit.journal import Journal
from fhir_server.audit.record import Record
from fhir_server.store.memory import MemoryStore

KEY = bytes(32)
NOW = 1_790_000_000_000


def record(number=0, act="read", what=("Observation/o1/_history/1",), **more):
    return Record(NOW + number, "default", "fhir", act, 200, "someone", what=what, **more)


class World:
    """A journal, what is told of it, and a teller that may fail."""

    def __init__(self, folder):
        self.folder = folder / "audit"
        self.journal = Journal(self.folder, KEY)
        self.documents = MemoryStore(clock=lambda: NOW)
        self.told = {}
        self.times = 0
        self.commits = []
        self.failing = False
        self.seen = []

    async def patients(self, _tenant, references):
        return {one: ("p1",) for one in references if one.startswith("Observation/")}

    async def studies(self, _tenant, uids):
        return {uid: "ImagingStudy/s1/_history/1" for uid in uids if uid.endswith(".7")}

    async def tell(self, tenant, accessed):
        self.commits.append(len(accessed))
        for one in accessed:
            self.told.setdefault((tenant, one.id), event(one, "https://here.example"))
            self.times += 1
        if self.failing:
            raise ConnectionError

    async def watch(self, record, patients):
        self.seen.append((record.act, tuple(patients)))

    def following(self):
        """Give a follower as a process has that was just started."""
        journals = (self.folder, KEY)
        return Following(journals, self.documents, self, self.tell, "here", self.watch)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.journal.close()


async def drained(following):
    while await following.once():
        pass


async def test_every_record_is_told_once_over_many_batches(world):
    for number in range(605):
        world.journal.append(record(number))
    await drained(world.following())
    await drained(world.following())
    assert (len(world.told), world.times) == (605, 605)
    assert len(world.commits) < 9


async def test_a_long_transaction_is_told_in_several_commits(world):
    written = tuple(("POST", f"Observation/o{n}/_history/1") for n in range(700))
    world.journal.append(record(act="bundle", what=(), written=written))
    world.journal.append(record(1))
    await drained(world.following())
    assert len(world.told) == 701
    assert max(world.commits) <= 100


async def test_a_crash_between_telling_and_keeping_how_far_tells_nothing_twice(world):
    world.journal.append(record())
    world.failing = True
    with pytest.raises(ConnectionError):
        await world.following().once()
    world.failing = False
    await drained(world.following())
    assert len(world.told) == 1
    assert world.times == 2


async def test_journals_of_several_processes_are_told(world, tmp_path):
    other = Journal(world.folder, KEY)
    world.journal.append(record())
    other.append(record(1))
    await drained(world.following())
    other.close()
    assert len(world.told) == 2


async def test_a_line_that_is_not_whole_yet_waits(world):
    world.journal.append(record())
    (path,) = world.folder.glob("*.journal")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    following = world.following()
    await drained(following)
    assert not world.told
    path.write_bytes(whole)
    await drained(following)
    assert len(world.told) == 1


async def test_a_broken_line_and_what_follows_is_not_told(world):
    for number in range(3):
        world.journal.append(record(number, path=f"Patient/{number}"))
    (path,) = world.folder.glob("*.journal")
    path.write_bytes(path.read_bytes().replace(b"Patient/1", b"Patient/x"))
    following = world.following()
    await drained(following)
    assert len(world.told) == 1
    assert following.broken


async def test_frames_of_a_study_within_a_minute_are_one_event(world):
    begun = -NOW % 60_000
    for number in range(5):
        world.journal.append(record(begun + number, "frames", ("urn:oid:1.2.7",)))
    world.journal.append(record(begun + 60_000, "frames", ("urn:oid:1.2.7",)))
    world.journal.append(record(begun, "frames", ("urn:oid:1.2.8",)))
    await drained(world.following())
    named = [
        [e["what"].get("reference") or e["what"]["identifier"]["value"] for e in one["entity"]]
        for one in world.told.values()
    ]
    assert sorted(named) == [
        ["ImagingStudy/s1/_history/1"],
        ["ImagingStudy/s1/_history/1"],
        ["urn:oid:1.2.8"],
    ]


async def test_each_tenant_has_its_own_events(world):
    world.journal.append(record())
    world.journal.append(Record(NOW, "north", "fhir", "read", 200, what=("Patient/1",)))
    await drained(world.following())
    assert {tenant for tenant, _ in world.told} == {"default", "north"}


async def test_what_is_no_reference_is_not_told_as_one(world):
    world.journal.append(record(what=("Patient/<script>", "Observation/o1")))
    await drained(world.following())
    (event,) = world.told.values()
    assert [e["what"]["reference"] for e in event["entity"]] == ["Patient/p1", "Observation/o1"]
    assert world.seen == [("read", ("p1",))]
