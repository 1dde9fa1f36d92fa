"""The journal: every record is in its file at once, chained, readable by its owner alone, and proved."""

import asyncio
import os
import stat

import msgspec
import pytest

from fhir_server.audit import chain
from fhir_server.audit.chain import Broken, Place
from fhir_server.audit.following import NAMESPACE, Told
from fhir_server.audit.journal import Journal, JournalFailed
from fhir_server.audit.record import Record
from fhir_server.audit.verify import verify
from fhir_server.store.memory import MemoryStore
from fhir_server.tenancy import DEFAULT

KEY = bytes(range(32))
NOW = 1_790_000_000_000
DAY = 86_400_000


def record(number=0, **more):
    return Record(NOW + number, "default", "fhir", "read", 200, "someone", **more)


def contents(path):
    data = path.read_bytes()
    return [content for _, content in chain.lines(KEY, data, Place())]


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "audit", KEY)
    yield made
    made.close()


def files(journal_folder):
    return sorted((journal_folder / "audit").glob("*.journal"))


async def test_a_record_is_in_the_file_when_append_returns(journal, tmp_path):
    journal.append(record(path="Patient/1"))
    (path,) = files(tmp_path)
    assert b"Patient/1" in contents(path)[1]


async def test_only_the_owner_may_read_it(journal, tmp_path):
    journal.append(record())
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_it_is_synced_within_a_tenth_of_a_second(journal, monkeypatch):
    synced = asyncio.Event()
    loop, real = asyncio.get_running_loop(), os.fdatasync

    def counted(descriptor):
        real(descriptor)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr(os, "fdatasync", counted)
    journal.append(record())
    assert not synced.is_set()
    await asyncio.wait_for(synced.wait(), 5)


async def test_synced_waits_for_the_disk_and_is_shared(journal, monkeypatch):
    calls = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda d: (calls.append(d), real(d)))
    for number in range(50):
        journal.append(record(number))
    await asyncio.gather(*(journal.synced() for _ in range(50)))
    assert 1 <= len(calls) <= 2


async def test_a_journal_that_cannot_be_written_says_so_and_recovers(tmp_path):
    (tmp_path / "audit").write_text("a file where the folder should be")
    journal = Journal(tmp_path / "audit", KEY)
    with pytest.raises(JournalFailed):
        journal.append(record())
    assert journal.fault
    (tmp_path / "audit").unlink()
    journal.append(record())
    assert not journal.fault
    journal.close()


async def test_each_day_has_a_file_that_names_the_one_before(journal, tmp_path):
    journal.append(record())
    journal.append(record(DAY))
    first, second = files(tmp_path)
    header = msgspec.json.decode(contents(second)[0])
    assert header["previous"] == first.stem
    assert b"closed" in contents(first)[-1]


def test_a_chain_goes_on_from_a_place(tmp_path):
    journal = Journal(tmp_path / "audit", KEY)
    for number in range(4):
        journal.append(record(number))
    journal.close()
    data = files(tmp_path)[0].read_bytes()
    places = [place for place, _ in chain.lines(KEY, data, Place())]
    rest = chain.lines(KEY, data[places[2].offset :], places[2])
    assert [place for place, _ in rest] == places[3:]
    with pytest.raises(Broken):
        list(chain.lines(b"another key", data, Place()))


class Kept:
    """A journal of six records over two files, told up to the fifth line of the first."""

    def __init__(self, folder):
        self.folder = folder / "audit"
        self.documents = MemoryStore(clock=lambda: NOW)
        journal = Journal(self.folder, KEY)
        for number in (0, 1, 2, 3, 4, DAY):
            journal.append(record(number, path=f"Patient/{number}"))
        journal.close()
        self.first, self.second = sorted(self.folder.glob("*.journal"))

    async def anchored(self, line=5):
        places = [p for p, _ in chain.lines(KEY, self.first.read_bytes(), Place())]
        place = places[line - 1]
        told = Told("here", place.offset, place.lines, place.digest.hex())
        for name, kept in ((self.first.stem, told), (self.second.stem, Told("here"))):
            await self.documents.put(DEFAULT, NAMESPACE, name, msgspec.json.encode(kept))
        return self

    async def faults(self):
        return (await verify(self.folder, KEY, self.documents, "here")).faults

    def lines(self):
        return self.first.read_bytes().splitlines(keepends=True)


async def test_an_untouched_journal_proves(tmp_path):
    kept = await Kept(tmp_path).anchored()
    found = await verify(kept.folder, KEY, kept.documents, "here")
    assert found.faults == ()
    assert (found.files, found.records) == (2, 10)


def tampered(kept):
    kept.first.write_bytes(kept.first.read_bytes().replace(b"Patient/3", b"Patient/9"))


def line_removed(kept):
    kept.first.write_bytes(b"".join(kept.lines()[:2] + kept.lines()[3:]))


def lines_swapped(kept):
    one, two, three, *rest = kept.lines()
    kept.first.write_bytes(b"".join([one, three, two, *rest]))


def line_doubled(kept):
    kept.first.write_bytes(b"".join([*kept.lines(), kept.lines()[-1]]))


def end_cut(kept):
    kept.first.write_bytes(b"".join(kept.lines()[:-1]))


def told_lines_cut(kept):
    kept.second.unlink()
    kept.first.write_bytes(b"".join(kept.lines()[:3]))


def file_removed(kept):
    kept.first.unlink()


def files_exchanged(kept):
    one, two = kept.first.read_bytes(), kept.second.read_bytes()
    kept.first.write_bytes(two)
    kept.second.write_bytes(one)


def emptied(kept):
    kept.first.write_bytes(b"")


@pytest.mark.parametrize(
    "act",
    [
        tampered,
        line_removed,
        lines_swapped,
        line_doubled,
        end_cut,
        told_lines_cut,
        file_removed,
        files_exchanged,
        emptied,
    ],
)
async def test_what_was_done_to_it_is_found(tmp_path, act):
    kept = await Kept(tmp_path).anchored()
    act(kept)
    assert await kept.faults()


async def test_a_line_that_a_power_cut_tore_is_no_tampering(tmp_path):
    kept = await Kept(tmp_path).anchored()
    with kept.second.open("ab") as file:
        file.write(b"0123456789abcdef [17")
    assert await kept.faults() == ()
