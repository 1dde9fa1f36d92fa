"""Files of jobs: in a folder and in MongoDB they are whole, found again, and gone with their job."""

import os
import time

import pytest

from fhir_server.store.files import FolderFiles, Place
from fhir_server.store.mongo.contents import PIECE
from fhir_server.store.mongo.files import MongoFiles

HERE = Place("north", "job-1", "answer")


@pytest.fixture(params=["folder", "mongo"])
def files(request, tmp_path):
    if request.param == "folder":
        return FolderFiles(tmp_path / "kept")
    return request.getfixturevalue("mongo").files("kept")


async def read(files, place):
    opened = await files.opened(place)
    found = b"".join([piece async for piece in opened.read()])
    assert len(found) == opened.size
    return found


@pytest.mark.parametrize("length", [0, 1, PIECE, 2 * PIECE + 7])
async def test_what_was_written_is_read(files, length):
    data = os.urandom(length)
    await files.write(HERE, data)
    assert await files.read(HERE) == data
    assert await read(files, HERE) == data


async def test_what_is_written_again_takes_the_place_of_the_first(files):
    await files.write(HERE, b"first" * PIECE)
    await files.write(HERE, b"second")
    assert await files.read(HERE) == b"second"
    if isinstance(files, MongoFiles):
        assert await files._given()["pieces"].count_documents({}) == 1


async def test_a_file_on_the_disk_is_taken_over(files, tmp_path):
    made = tmp_path / "made.ndjson"
    made.write_bytes(b"{}\n" * PIECE)
    await files.keep(HERE, made)
    assert not made.exists()
    assert await read(files, HERE) == b"{}\n" * PIECE


async def test_files_of_one_job_go_together_and_others_stay(files):
    beside = HERE._replace(job="job-2"), HERE._replace(tenant="south")
    for place in (HERE, HERE._replace(name="asked"), *beside):
        await files.write(place, b"x")
    await files.forget("north", "job-1")
    assert await files.read(HERE) is None
    assert await files.opened(HERE._replace(name="asked")) is None
    assert [await files.read(place) for place in beside] == [b"x", b"x"]
    await files.forget("north", "never was")


async def test_old_files_are_told_by_their_jobs(files, clock):
    await files.write(HERE, b"x")
    assert await files.jobs(3600) == []
    if isinstance(files, FolderFiles):
        long_ago = time.time() - 4000
        os.utime(files.path(HERE).parent, (long_ago, long_ago))
    clock.now += 4_000_000
    assert await files.jobs(3600) == [("north", "job-1")]


async def test_kinds_are_apart(mongo):
    await mongo.files("exports").write(HERE, b"x")
    assert await mongo.files("requests").read(HERE) is None
    assert await mongo.files("requests").jobs(-1) == []
    assert await mongo.files("exports").jobs(-1) == [("north", "job-1")]


async def test_what_goes_while_it_is_looked_at_is_passed_over(tmp_path):
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "gone").symlink_to(tmp_path / "nowhere")
    assert await FolderFiles(tmp_path).jobs(-1) == []
