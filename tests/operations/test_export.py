"""$export: what was there at one instant, in whole files, for whom it is (Bulk Data Access 2.0)."""

import asyncio
import json
from urllib.parse import quote

import pytest
from bodies import observation, patient
from job_world import BASE, job_id, limited, outcome_of
from msgspec.structs import replace

from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import KEPT
from operations.bulk import exporting, snapshot

NDJSON = "application/fhir+ndjson"


async def exported(world, url="$export", during=None):
    """Export, and give the manifest and the resources of each file."""
    response = await world.call("GET", url, prefer="respond-async")
    async with world.working():
        if during is not None:
            await during()
        await world.closed(job_id(response))
    manifest = await world.give("GET", response.headers["Content-Location"])
    return manifest, {each["type"]: await lines(world, each) for each in manifest["output"]}


async def lines(world, entry):
    response = await world.call("GET", entry["url"])
    assert (response.status, response.media_type) == (200, NDJSON)
    content = b"".join([piece async for piece in response.pieces.read()])
    assert len(content) == response.pieces.size
    assert content.endswith(b"\n")
    found = [json.loads(line) for line in content.splitlines()]
    assert len(found) == entry["count"]
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ids(resources):
    return sorted(each["id"] for each in resources)


async def test_each_type_is_a_file_of_its_current_resources(world):
    await world.put(*(patient(f"p{n}") for n in range(3)), observation("o1"))
    await world.put(patient("p1", active=True), patient("gone"))
    await world.call("DELETE", "Patient/gone")
    manifest, files = await exported(world)
    assert ids(files["Patient"]) == ["p0", "p1", "p2"]
    assert next(p for p in files["Patient"] if p["id"] == "p1")["active"] is True
    assert ids(files["Observation"]) == ["o1"]
    assert manifest["request"] == f"{BASE}/$export"
    assert manifest["requiresAccessToken"] is True
    assert manifest["error"] == []
    stored = await world.give("GET", "Patient/p0")
    assert next(p for p in files["Patient"] if p["id"] == "p0") == stored
    assert stored["meta"]["lastUpdated"] <= manifest["transactionTime"]


async def test_an_empty_server_gives_an_empty_list(world):
    manifest, _ = await exported(world, "$export?_type=Patient")
    assert manifest["output"] == []


async def test_types_are_those_asked_for_each_once(world):
    await world.put(patient("p1"), observation("o1"))
    for query in ("_type=Patient,Patient", "_type=Patient&_type=Patient,Device"):
        manifest, files = await exported(world, f"$export?{query}")
        assert list(files) == ["Patient"]
        assert len(manifest["output"]) == 1
    assert manifest["request"] == f"{BASE}/$export?_type=Patient&_type=Patient,Device"


async def test_since_leaves_out_what_was_there_before(world):
    await world.put(patient("old"))
    await asyncio.sleep(0.005)
    await world.put(patient("new"))
    moment = (await world.give("GET", "Patient/new"))["meta"]["lastUpdated"]
    _, files = await exported(world, f"$export?_since={quote(moment)}&_type=Patient")
    assert ids(files["Patient"]) == ["new"]


async def test_by_post_with_parameters(world):
    await world.put(patient("p1"), observation("o1"))
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_type", "valueString": "Observation"},
            {"name": "_outputFormat", "valueString": "ndjson"},
        ],
    }
    response = await world.call("POST", "$export", body)
    assert response.status == 202
    assert response.body == b""
    async with world.working():
        await world.closed(job_id(response))
    manifest = await world.give("GET", response.headers["Content-Location"])
    assert [each["type"] for each in manifest["output"]] == ["Observation"]


async def test_at_patient_level_only_what_is_in_a_patient_s_compartment(world):
    await world.put(
        patient("p1"),
        observation("o1"),
        observation("o2", subject="Device/d1"),
        {**observation("o3", subject="Device/d1"), "performer": [{"reference": "Patient/p1"}]},
        {"resourceType": "Practitioner", "id": "d1"},
    )
    _, files = await exported(world, "Patient/$export")
    assert {type_: ids(found) for type_, found in files.items()} == {
        "Patient": ["p1"],
        "Observation": ["o1", "o3"],
    }


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("_type=Patint", 400, "value"),
        ("_type=", 400, "value"),
        ("_since=2026", 400, "value"),
        ("_since=2026-13-01T00:00:00Z", 400, "value"),
        ("_outputFormat=text/csv", 400, "not-supported"),
        ("_typeFilter=Patient%3Factive%3Dtrue", 400, "not-supported"),
        ("_elements=id", 400, "not-supported"),
        ("includeAssociatedData=_security", 400, "not-supported"),
        ("patient=Patient/p1", 400, "not-supported"),
    ],
)
async def test_what_is_not_offered_is_refused(world, query, status, code):
    assert outcome_of(await world.call("GET", f"$export?{query}"))[:2] == (status, code)
    assert await world.places() == []


async def test_a_type_outside_the_compartment_is_refused_at_patient_level(world):
    response = await world.call("GET", "Patient/$export?_type=Medication")
    assert outcome_of(response)[:2] == (400, "value")


@pytest.mark.parametrize("name", [quote(NDJSON), NDJSON, "application/ndjson", "ndjson"])
async def test_every_name_of_the_format_is_taken(world, name):
    response = await world.call("GET", f"$export?_outputFormat={name}&_type=Patient")
    assert response.status == 202


async def test_a_token_of_one_patient_exports_nothing(world):
    mine = world.as_(limited(("*", "cruds"), patient="p1"))
    for url in ("$export", "Patient/$export", "$export?_type=Patient"):
        assert outcome_of(await mine.call("GET", url))[:2] == (403, "forbidden")


async def test_without_types_it_is_what_the_token_covers_and_named_ones_must_all_be(world):
    await world.put(patient("p1"), observation("o1"))
    some = world.as_(limited(("Observation", "rs"), subject="service"))
    _, files = await exported(some)
    assert list(files) == ["Observation"]
    assert (await some.call("GET", "$export?_type=Observation,Patient")).status == 403


async def test_each_poll_and_file_looks_at_the_token_anew(world):
    await world.put(patient("p1"))
    wide = world.as_(limited(("*", "rs"), subject="service"))
    narrow = world.as_(limited(("Observation", "rs"), subject="service"))
    other = world.as_(limited(("*", "rs"), subject="other", patient="p9"))
    manifest, _ = await exported(wide)
    place = manifest["output"][0]["url"]
    status = place.rpartition("/")[0]
    assert (await wide.call("GET", place)).status == 200
    assert (await narrow.call("GET", place)).status == 403
    assert (await narrow.call("GET", status)).status == 403
    assert (await other.call("GET", place)).status == 404


@pytest.mark.parametrize(
    "name", ["Observation.ndjson", "Patient", "Patient.part", "x/Patient.ndjson"]
)
async def test_other_names_are_no_files(world, name):
    await world.put(patient("p1"))
    manifest, _ = await exported(world)
    status = manifest["output"][0]["url"].rpartition("/")[0]
    assert (await world.call("GET", f"{status}/{name}")).status == 404
    assert (await world.call("GET", f"{status}/..%2FPatient.ndjson")).status == 404


async def test_large_resources_come_in_small_pages(world, monkeypatch):
    monkeypatch.setattr(snapshot, "_BYTES", 40_000)
    sizes = []
    append = exporting.Ndjson.append

    def counted(self, bodies):
        sizes.append(sum(map(len, bodies)))
        append(self, bodies)

    monkeypatch.setattr(exporting.Ndjson, "append", counted)
    text = {
        "status": "generated",
        "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{'x' * 9000}</div>",
    }
    await world.put(*(patient(f"p{n:03}", text=text) for n in range(30)))
    _, files = await exported(world, "$export?_type=Patient")
    assert ids(files["Patient"]) == [f"p{n:03}" for n in range(30)]
    assert max(sizes[1:]) < 60_000


class Meanwhile:
    """Writes to the server right after an export has read its first page."""

    def __init__(self, monkeypatch, write):
        self.wrote = False
        pages = snapshot.pages

        async def interrupted(context, asked):
            async for bodies in pages(context, asked):
                yield bodies
                if not self.wrote and asked.type == "Patient":
                    self.wrote = True
                    await write()

        monkeypatch.setattr(exporting.snapshot, "pages", interrupted)


async def test_writes_during_an_export_neither_double_nor_lose_anything(world, monkeypatch):
    await world.put(*(patient(f"p{n:02}", active=True) for n in range(40)))
    await asyncio.sleep(0.005)

    async def write():
        await asyncio.sleep(0.005)
        await world.put(*(patient(f"p{n:02}", active=False) for n in (1, 20, 39)))
        await world.put(patient("new"))
        for gone in ("p02", "p21"):
            await world.call("DELETE", f"Patient/{gone}")
        await world.put(patient("p22", active=False))
        await world.put(patient("p22", active=True, gender="other"))

    meanwhile = Meanwhile(monkeypatch, write)
    manifest, files = await exported(world, "$export?_type=Patient")
    assert meanwhile.wrote
    assert ids(files["Patient"]) == [f"p{n:02}" for n in range(40)]
    for each in files["Patient"]:
        assert each["active"] is True
        assert "gender" not in each
        assert each["meta"]["lastUpdated"] <= manifest["transactionTime"]
    since = quote(manifest["transactionTime"])
    _, later = await exported(world, f"$export?_type=Patient&_since={since}")
    assert ids(later["Patient"]) == ["new", "p01", "p20", "p22", "p39"]


async def test_changes_during_a_patient_level_export_keep_to_the_compartment(world, monkeypatch):
    await world.put(patient("p1"), observation("o1"), observation("o2", subject="Device/d1"))
    await asyncio.sleep(0.005)

    async def write():
        await asyncio.sleep(0.005)
        for id_, subject in (("o1", "Device/d1"), ("o2", "Patient/p1")):
            await world.put(observation(id_, subject=subject))

    Meanwhile(monkeypatch, write)
    types = exporting.Exporting.work

    async def patients_first(self, job, progress):
        ordered = replace(job, input={**job.input, "types": ["Patient", "Observation"]})
        return await types(self, ordered, progress)

    monkeypatch.setattr(exporting.Exporting, "work", patients_first)
    kind = world.kinds["export"]
    world.kinds["export"] = type(kind)(world.exporting.work, kind.given, kind.file, kind.forget)
    _, files = await exported(world, "Patient/$export?_type=Patient,Observation")
    assert ids(files["Observation"]) == ["o1"]
    assert files["Observation"][0]["subject"]["reference"] == "Patient/p1"


async def test_a_second_attempt_starts_afresh(world):
    await world.put(patient("p1"))
    response = await world.call("GET", "$export?_type=Patient")
    id_ = job_id(response)
    folder = world.exporting._folder / "default" / id_
    folder.mkdir(parents=True)
    (folder / "Observation.ndjson").write_bytes(b"{}\n")
    (folder / "Patient.part").write_bytes(b"{")
    async with world.working():
        await world.closed(id_)
    assert names(folder) == ["Patient.ndjson"]


async def test_a_cancelled_export_leaves_no_files(world, monkeypatch):
    await world.put(patient("p1"), observation("o1"))
    begun = asyncio.Event()

    async def write():
        begun.set()
        await asyncio.sleep(60)

    Meanwhile(monkeypatch, write)
    response = await world.call("GET", "$export?_type=Observation,Patient")
    id_ = job_id(response)
    async with world.working():
        await asyncio.wait_for(begun.wait(), 30)
        folder = world.exporting._folder / "default" / id_
        assert names(folder) == ["Observation.ndjson", "Patient.part"]
        assert (await world.call("DELETE", f"_async/{id_}")).status == 202
        assert (await world.closed(id_)).state == "cancelled"
    assert not folder.exists()
    assert (await world.call("GET", f"_async/{id_}")).status == 404
    assert (await world.give("GET", f"Task/{id_}"))["status"] == "cancelled"


async def test_deleting_a_completed_export_removes_its_files(world):
    await world.put(patient("p1"))
    manifest, _ = await exported(world)
    status, _, name = manifest["output"][0]["url"].rpartition("/")
    folder = world.exporting._folder / "default" / status.rpartition("/")[2]
    assert (folder / name).is_file()
    assert (await world.call("DELETE", status)).status == 202
    assert not folder.exists()
    assert (await world.call("GET", f"{status}/{name}")).status == 404
    assert (await world.call("GET", status)).status == 404


async def test_files_go_when_their_job_expires_and_not_before(world):
    await world.put(patient("p1"))
    manifest, _ = await exported(world)
    folder = world.exporting._folder / "default" / manifest["output"][0]["url"].split("/")[-2]
    running = await world.call("GET", "$export")
    beside = world.exporting._folder / "default" / job_id(running)
    beside.mkdir()
    assert await world.exporting.sweep() == 0
    world.clock.ahead = KEPT + 60_000
    assert await world.exporting.sweep() == 1
    assert not folder.exists()
    assert beside.exists()
    await jobs.cancel(world.documents, await world.job(job_id(running)), world.clock())
    assert await world.exporting.sweep() == 1


async def test_a_file_that_went_away_is_404(world):
    await world.put(patient("p1"))
    manifest, _ = await exported(world)
    place = manifest["output"][0]["url"]
    (world.exporting._folder / "default" / place.split("/")[-2] / "Patient.ndjson").unlink()
    assert (await world.call("GET", place)).status == 404


async def test_files_are_for_the_server_alone(world):
    await world.put(patient("p1"))
    await exported(world)
    assert world.exporting._folder.stat().st_mode & 0o077 == 0
