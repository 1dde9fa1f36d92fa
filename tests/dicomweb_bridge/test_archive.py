"""The embedded archive: outcomes, durability, healing, hostile input."""

import asyncio
import hashlib
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import dicomweb
import pydicom
import pytest
from dicomweb import ct, encoded, parts, store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomweb_bridge.archive import index
from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.archive.port import Failure, Fault, Match, Query, Refused, Stored, Where
from dicomweb_bridge.dicom_file import Limits
from dicomweb_bridge.source import ArchiveSource

STUDY = f"{dicomweb.ROOT}.1"


@pytest.fixture
async def archive(tmp_path):
    opened = LocalArchive(tmp_path / "archive")
    await opened.open()
    yield opened
    await opened.close()


async def _read(archive, instance, tenant="default"):
    with await archive.open_file(tenant, instance) as file:
        return file.read()


async def test_a_stored_instance_comes_back_byte_for_byte(archive):
    data = ct()
    (stored,) = await store(archive, data)
    assert stored.created
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    (instance,) = await archive.instances("default", Where(STUDY))
    assert await _read(archive, instance) == data


async def test_a_resend_of_the_same_bytes_succeeds_and_changes_nothing(archive):
    await store(archive, ct())
    before = await archive.study("default", STUDY)
    (again,) = await store(archive, ct())
    assert isinstance(again, Stored)
    assert not again.created
    assert await archive.study("default", STUDY) == before


async def test_other_bytes_under_a_known_uid_are_refused_and_the_first_stay(archive):
    first = ct()
    outcomes = await store(archive, first, ct(StudyDescription="another"))
    assert outcomes[1].failure is Failure.DUPLICATE
    (instance,) = await archive.instances("default", Where(STUDY))
    assert await _read(archive, instance) == first
    assert await archive.verify() == []


async def test_a_study_takes_no_instance_of_another_patient(archive):
    await store(archive, ct())
    (refused,) = await store(archive, ct(number=2, PatientID="P2"))
    assert refused.failure is Failure.OTHER_PATIENT
    (stored,) = await store(archive, ct(number=2))
    assert stored.created


async def test_tenants_have_the_same_uids_apart(archive):
    await store(archive, ct(), tenant="one")
    (stored,) = await store(archive, ct(PatientID="P2"), tenant="two")
    assert stored.created
    assert await archive.instances("default", Where(STUDY)) == []
    assert len(await archive.find("one", Query("study"))) == 1


@pytest.mark.parametrize("tenant", ["..", "a/b", "", "../x", "a" * 65, ".incoming"])
async def test_a_tenant_name_that_is_a_path_is_refused(archive, tenant):
    with pytest.raises(ValueError, match="tenant"):
        await store(archive, ct(), tenant=tenant)


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "1.2/3", "..", "1..2", "", "1." * 40 + "1", "1.2\n"]
)
async def test_a_uid_that_is_none_is_refused(archive, uid, tmp_path):
    marked = encoded_with_uid(uid)
    (refused,) = await store(archive, marked)
    assert refused == Refused(Failure.NOT_UNDERSTOOD, "1.2.840.10008.5.1.4.1.1.2", "")
    assert list(tmp_path.rglob("*.dcm")) == []


def encoded_with_uid(uid):
    """Make a file whose SOP Instance UID is any text: pydicom itself would warn of it."""
    known = f"{dicomweb.ROOT}.1.1.1"
    data = ct()
    place = data.rindex(known.encode().ljust(len(known) + len(known) % 2, b"\0"))
    value = uid.encode() + b" " * (len(uid) % 2)
    length = len(known) + len(known) % 2
    return data[: place - 2] + len(value).to_bytes(2, "little") + value + data[place + length :]


async def test_an_instance_of_another_study_than_the_one_named_is_refused(archive):
    outcomes = await store(archive, ct(), ct(study=2), study=STUDY)
    assert outcomes[0].created
    assert outcomes[1].failure is Failure.OTHER_STUDY


async def test_what_is_not_dicom_is_refused_and_leaves_nothing(archive, tmp_path):
    outcomes = await store(archive, b"", b"x" * 5000, b"\0" * 128 + b"DICM", ct())
    assert [getattr(one, "failure", None) for one in outcomes[:3]] == [Failure.NOT_UNDERSTOOD] * 3
    assert outcomes[3].created
    assert list((tmp_path / "archive" / ".incoming").iterdir()) == []


@pytest.mark.parametrize("cut", [300, 700, -1, -100])
async def test_a_file_cut_short_is_refused(archive, cut):
    (refused,) = await store(archive, ct()[:cut])
    assert refused.failure in {Failure.INCOMPLETE, Failure.NOT_UNDERSTOOD}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_a_damaged_file_is_stored_or_refused_and_never_raises(tmp_path_factory, data):
    original = bytearray(ct())
    for _ in range(data.draw(st.integers(1, 6))):
        original[data.draw(st.integers(132, len(original) - 1))] = data.draw(st.integers(0, 255))

    async def run():
        opened = LocalArchive(tmp_path_factory.mktemp("fuzz"))
        await opened.open()
        try:
            return await store(opened, bytes(original))
        finally:
            await opened.close()

    (outcome,) = asyncio.run(run())
    assert isinstance(outcome, (Stored, Refused))


async def test_an_instance_over_the_limit_is_refused_and_the_next_is_stored(tmp_path):
    archive = LocalArchive(tmp_path, limits=Limits(instance=4000))
    await archive.open()
    big = ct(number=2, PixelData=bytes(2 * 16 * 12), ImageComments="x" * 5000)
    outcomes = await store(archive, big, ct())
    assert outcomes[0].failure is Failure.TOO_LARGE
    assert outcomes[1].created
    await archive.close()


async def test_a_header_over_the_limit_is_refused(tmp_path):
    archive = LocalArchive(tmp_path, limits=Limits(header=20_000))
    await archive.open()
    item = Dataset()
    item.CodeMeaning = "x" * 60
    made = dicomweb.dataset(ProcedureCodeSequence=Sequence([item] * 400))
    (refused,) = await store(archive, encoded(made))
    assert refused.failure is Failure.TOO_LARGE
    await archive.close()


async def test_a_deflated_bomb_is_refused_without_being_inflated(tmp_path):
    archive = LocalArchive(tmp_path, limits=Limits(inflated=1024 * 1024))
    await archive.open()
    made = dicomweb.dataset()
    plain = encoded(made, DeflatedExplicitVRLittleEndian)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(b"\0" * (64 * 1024 * 1024)) + packer.flush()
    head = plain[: 132 + 12 + int.from_bytes(plain[140:144], "little")]
    outcomes = await store(archive, head + bomb, plain)
    assert outcomes[0].failure is Failure.TOO_LARGE
    assert outcomes[1].created
    await archive.close()


async def test_a_broken_off_body_stores_nothing_of_its_batch(archive, tmp_path):
    class BrokenError(Exception):
        pass

    async def broken():
        yield dicomweb.chunked(ct())

        async def half():
            yield ct(number=2)[:500]
            raise BrokenError

        yield half()

    with pytest.raises(BrokenError):
        async for _ in archive.store("default", broken()):
            pass
    assert await archive.instances("default", Where(STUDY)) == []
    assert list((tmp_path / "archive" / ".incoming").iterdir()) == []


async def test_all_bundled_files_are_taken_or_refused_alike_twice(archive):
    files = [path.read_bytes() for path in sorted(dicomweb.BUNDLED.glob("*.dcm"))]
    first, second = await store(archive, *files), await store(archive, *files)
    assert sum(isinstance(one, Stored) for one in first) > 30
    assert [type(one) for one in first] == [type(one) for one in second]
    assert not any(isinstance(one, Stored) and one.created for one in second)
    assert await archive.verify() == []


async def test_deleting_a_series_leaves_the_others_and_a_study_without_instances_is_gone(archive):
    await store(archive, ct(), ct(number=2), ct(series=2))
    assert await archive.delete("default", Where(STUDY, f"{STUDY}.1")) == 2
    study = await archive.study("default", STUDY)
    assert [series.uid for series in study.series] == [f"{STUDY}.2"]
    assert await archive.delete("default", Where(STUDY)) == 1
    assert await archive.study("default", STUDY) is None
    assert await archive.verify() == []


async def test_verify_tells_missing_damaged_and_unindexed_files(archive, tmp_path):
    stored = await store(archive, ct(), ct(number=2), ct(number=3))
    paths = [next(tmp_path.rglob(f"{one.sha256}.dcm")) for one in stored]
    paths[0].unlink()
    paths[1].write_bytes(b"rot")
    stray = paths[2].parent / f"{'0' * 64}.dcm"
    stray.write_bytes(b"stray")
    faults = set(await archive.verify())
    assert faults == {
        Fault("default", stored[0].sha256, "missing"),
        Fault("default", stored[1].sha256, "damaged"),
        Fault("default", "0" * 64, "unindexed"),
    }


async def test_a_resend_heals_a_missing_file(archive, tmp_path):
    (stored,) = await store(archive, ct())
    next(tmp_path.rglob(f"{stored.sha256}.dcm")).unlink()
    await store(archive, ct())
    assert await archive.verify() == []


async def test_a_file_that_was_placed_before_a_crash_is_indexed_when_the_archive_opens(tmp_path):
    archive = LocalArchive(tmp_path)
    await archive.open()
    (stored,) = await store(archive, ct())
    await archive.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        for table in ("study", "series", "instance", "metadata"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("INSERT INTO placing VALUES ('default', ?)", (stored.sha256,))
    connection.close()
    (tmp_path / ".incoming" / "half").write_bytes(b"half received")
    archive = LocalArchive(tmp_path)
    await archive.open()
    assert [one.sha256 for one in await archive.instances("default", Where(STUDY))] == [
        stored.sha256
    ]
    assert await archive.undescribed() == [("default", STUDY)]
    assert list((tmp_path / ".incoming").iterdir()) == []
    await archive.close()


async def test_an_index_of_a_newer_program_is_not_touched(tmp_path):
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    archive = LocalArchive(tmp_path)
    with pytest.raises(index.IndexTooNew):
        await archive.open()
    await archive.close()


async def test_a_second_process_may_read_while_the_first_writes(archive, tmp_path):
    reader = LocalArchive(tmp_path / "archive", writable=False)
    await reader.open()
    files = [ct(number=number) for number in (1, 2)]
    await store(archive, *files)
    source = ArchiveSource(reader, "default")
    assert [data async for data in source.instances(STUDY)] == files
    assert [data async for data in source.instances(STUDY, f"{STUDY}.9")] == []
    await reader.close()


async def test_concurrent_sends_of_one_instance_create_it_once(archive):
    outcomes = await asyncio.gather(*(store(archive, ct()) for _ in range(8)))
    assert sum(one.created for (one,) in outcomes) == 1


CHILD = """
import asyncio, sys
sys.path[:0] = {path!r}
from pathlib import Path
from dicomweb import ct, store
from dicomweb_bridge.archive.local import LocalArchive

async def send(archive, first):
    for number in range(first, 10_000, 4):
        for one in await store(archive, ct(number=number)):
            print(one.instance, one.sha256, flush=True)

async def main():
    archive = LocalArchive(Path(sys.argv[1]))
    await archive.open()
    await asyncio.gather(*(send(archive, first) for first in (1, 2, 3, 4)))

asyncio.run(main())
"""


async def test_kill_9_while_storing_loses_nothing_that_was_acknowledged(tmp_path, size):
    chance = random.Random(7)
    acknowledged = {}
    for round_ in range(size(3, 20)):
        child = subprocess.Popen(  # noqa: ASYNC220 - a program of our own, killed below
            [sys.executable, "-c", CHILD.format(path=[p for p in sys.path if p]), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [child.stdout.readline() for _ in range(chance.randint(5, 60) * (round_ + 1))]
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        acknowledged |= dict(line.split() for line in lines if line.endswith("\n"))
        archive = LocalArchive(tmp_path)
        await archive.open()
        held = {one.instance: one for one in await archive.instances("default", Where(STUDY))}
        assert {uid: held[uid].sha256 for uid in acknowledged} == acknowledged
        assert await archive.verify() == []
        study = await archive.study("default", STUDY)
        assert study.changed == len(held)
        await archive.close()


@pytest.mark.parametrize(
    ("level", "keyword", "value", "count"),
    [
        ("study", "PatientName", "roe^jane", 1),
        ("study", "PatientName", "ROE*", 1),
        ("study", "PatientName", "*jane", 1),
        ("study", "PatientName", "R?e^Jane", 1),
        ("study", "PatientName", "Ro", 0),
        ("study", "PatientName", "[R]oe*", 0),
        ("study", "PatientID", "P[1]", 1),
        ("study", "PatientID", "P*", 2),
        ("study", "PatientID", "p1", 0),
        ("study", "StudyDescription", "CT*", 2),
        ("study", "StudyDate", "20260102", 1),
        ("study", "StudyDate", "20260101-20260104", 1),
        ("study", "StudyDate", "20260103-", 1),
        ("study", "StudyDate", "-20260102", 1),
        ("study", "StudyTime", "1011-1011", 1),
        ("study", "StudyTime", "101112.5", 1),
        ("study", "StudyTime", "-10", 1),
        ("study", "ModalitiesInStudy", "MR", 1),
        ("study", "ModalitiesInStudy", "C?", 2),
        ("study", "AccessionNumber", "A1", 1),
        ("series", "Modality", "CT", 2),
        ("series", "SeriesNumber", "2", 1),
        ("series", "RequestedProcedureID", "RP2", 1),
        ("series", "RequestedProcedureID", "RP", 0),
        ("instance", "InstanceNumber", "2", 1),
        ("instance", "PatientID", "P[1]", 2),
    ],
)
async def test_keys_match_as_the_standard_says(archive, level, keyword, value, count):
    requests = []
    for name in ("RP1", "RP2"):
        item = Dataset()
        item.RequestedProcedureID = name
        requests.append(item)
    await store(
        archive,
        ct(PatientID="P[1]"),
        ct(number=2, PatientID="P[1]"),
        ct(
            study=2,
            PatientName="Doe^John^^^",
            PatientID="P2",
            StudyDate="20260105",
            StudyTime="1200",
            AccessionNumber="A2",
        ),
        ct(
            study=2,
            series=2,
            PatientID="P2",
            Modality="MR",
            InstanceNumber=7,
            RequestAttributesSequence=Sequence(requests),
        ),
    )
    found = await archive.find("default", Query(level, (Match(keyword, (value,)),)))
    assert len(found) == count


async def test_a_search_is_limited_to_the_permitted_studies_before_its_page_is_cut(archive):
    await store(
        archive, *(ct(study=number, StudyDate=f"2026010{number}") for number in range(1, 6))
    )
    permitted = frozenset({f"{dicomweb.ROOT}.1", f"{dicomweb.ROOT}.2"})
    found = await archive.find("default", Query("study", limit=2, studies=permitted))
    assert [one.where.study for one in found] == [f"{dicomweb.ROOT}.2", f"{dicomweb.ROOT}.1"]
    assert await archive.find("default", Query("study", studies=frozenset())) == []


async def test_pages_join_to_the_whole_newest_study_first(archive):
    await store(
        archive, *(ct(study=number, StudyDate=f"2026010{number}") for number in range(1, 6))
    )
    pages = [
        one.where.study.rpartition(".")[2]
        for offset in range(0, 6, 2)
        for one in await archive.find("default", Query("study", limit=2, offset=offset))
    ]
    assert pages == ["5", "4", "3", "2", "1"]


async def test_counts_and_modalities_are_told_live(archive):
    await store(archive, ct(), ct(number=2), ct(series=2, Modality="SR"))
    (found,) = await archive.find("default", Query("study"))
    assert found.attributes["00080061"]["Value"] == ["CT", "SR"]
    assert found.attributes["00201206"]["Value"] == [2]
    assert found.attributes["00201208"]["Value"] == [3]
    series = await archive.find("default", Query("series"))
    assert [one.attributes["00201209"]["Value"] for one in series] == [[2], [1]]


async def test_what_a_first_instance_left_empty_a_later_one_fills(archive):
    await store(archive, ct(AccessionNumber=""), ct(number=2, StudyDescription="changed"))
    (found,) = await archive.find("default", Query("study"))
    assert found.attributes["00080050"]["Value"] == ["A1"]
    assert found.attributes["00081030"]["Value"] == ["CT chest"]
    assert (
        len(await archive.find("default", Query("study", (Match("AccessionNumber", ("A1",)),))))
        == 1
    )


async def test_a_long_batch_is_acknowledged_while_it_still_arrives(archive):
    taken = 0

    async def many():
        nonlocal taken
        for number in range(1, 201):
            taken = number
            yield dicomweb.chunked(ct(number=number))

    outcomes = archive.store("default", many())
    await anext(outcomes)
    assert taken < 200
    assert len([one async for one in outcomes]) == 199


def test_files_are_read_by_a_third_party_as_they_lie(tmp_path):
    async def run():
        archive = LocalArchive(tmp_path)
        await archive.open()
        await store(archive, ct())
        await archive.close()

    asyncio.run(run())
    (path,) = Path(tmp_path).rglob("*.dcm")
    assert pydicom.dcmread(path).PatientID == "P1"
    assert pydicom.dcmread(io.BytesIO(path.read_bytes())).pixel_array.shape == (16, 12)


async def test_parts_of_no_request_are_no_outcomes(archive):
    assert [one async for one in archive.store("default", parts())] == []


async def test_a_sender_who_goes_before_the_first_byte_leaves_no_file_behind(archive, tmp_path):
    for _ in range(20):
        storing = asyncio.create_task(store(archive, ct()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
    await archive.find("default", Query("instance"))
    for _ in range(100):
        if not list((tmp_path / "archive" / ".incoming").iterdir()):
            break
        await asyncio.sleep(0.02)
    assert list((tmp_path / "archive" / ".incoming").iterdir()) == []
