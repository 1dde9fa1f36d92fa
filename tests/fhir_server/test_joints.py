"""Where features meet: each is given only what the interactions give to that caller."""

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import dicomweb
import job_world
import pytest
import small_study
from job_world import eventually, limited

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuer
from fhir_server import joints, tenancy
from fhir_server.access import Access, Grant, everything
from fhir_server.context import Context
from resources.outcome import Conflict, FhirError, Forbidden, NotFound

UID = small_study.UID
OTHER = f"{dicomweb.ROOT}.2"


@pytest.fixture(params=job_world.STORES)
async def world(request, tmp_path):
    async with job_world.opened(request.param, tmp_path) as found:
        await found.put(
            small_study.patient(),
            small_study.patient("p2"),
            small_study.study(),
            small_study.study("s2", "p2", number=2),
        )
        yield found


@pytest.fixture
def context_for(world):
    def make(tenant, access):
        return Context(tenant, access, job_world.BASE, world.context.services)

    return make


# --- Directory ---


async def test_the_directory_finds_by_query_and_writes_transactions(world):
    directory = joints.Directory(lambda _: world.context)
    found = await directory.find("default", "Patient", [("identifier", "urn:mrn|p1")])
    assert [each["id"] for each in found] == ["p1"]
    assert await directory.find("default", "Patient", [("identifier", "urn:mrn|none")]) == []
    entry = {
        "resource": small_study.patient("p3"),
        "request": {"method": "PUT", "url": "Patient/p3"},
    }
    answered = await directory.transact(
        "default", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    )
    assert answered["entry"][0]["response"]["status"] == "201"


# --- VisibleStudies ---


async def seen(context_for, access, uid=None, letter="r"):
    return await joints.VisibleStudies(context_for)("default", access, uid, letter)


async def test_who_has_no_limits_sees_every_study_without_a_search(context_for):
    for uid in (None, UID, "1.2.3"):
        assert await seen(context_for, everything("x"), uid) is None


async def test_a_token_of_one_patient_sees_that_patient_s_studies(context_for):
    mine = limited(("*", "rs"), patient="p1")
    assert await seen(context_for, mine) == {UID}
    assert await seen(context_for, mine, UID) == {UID}
    assert await seen(context_for, mine, OTHER) == frozenset()


async def test_a_granular_scope_limits_the_studies(context_for):
    grant = Grant("ImagingStudy", frozenset("rs"), None, (("patient", "Patient/p2"),))
    assert await seen(context_for, Access("x", (grant,))) == {OTHER}


@pytest.mark.parametrize("grants", [(), (("Patient", "rs"),), (("ImagingStudy", "s"),)])
async def test_without_the_right_to_read_studies_none_is_seen(context_for, grants):
    for patient in (None, "p1"):
        assert await seen(context_for, limited(*grants, patient=patient)) == frozenset()


@pytest.mark.parametrize("uid", ["1.2,1.3", "|", "a|b", "\\", "$", ""])
async def test_what_is_no_uid_matches_nothing(context_for, uid):
    assert await seen(context_for, limited(("*", "rs"), patient="p1"), uid) == frozenset()


async def test_a_deleted_study_is_seen_by_no_limited_token(world, context_for):
    await world.call("DELETE", "ImagingStudy/s1")
    assert await seen(context_for, limited(("*", "rs"), patient="p1")) == frozenset()


# --- PatientPicker ---


@pytest.fixture
async def picker(world, context_for):
    named = {"name": [{"family": "Roe", "given": ["Jane"]}], "birthDate": "1970-01-31"}
    await world.put({**small_study.patient("p1"), **named})
    return joints.PatientPicker(context_for)


async def test_patients_are_found_by_name_or_number_each_once(picker):
    for text in ("roe", "jane", "p1"):
        found = await picker.find("default", everything("x"), text)
        assert [each.label for each in found] == ["Jane Roe, 1970-01-31"]
    both = await picker.find("default", everything("x"), "  ")
    assert len(both) == 2
    assert {each.label for each in both} >= {"(no name), birth date unknown"}


@pytest.mark.parametrize("text", ["a,b", "x|y", "\\", "$", "'; DROP TABLE", "roe&_id=p2", "%"])
async def test_whatever_is_typed_is_text(picker, text):
    assert await picker.find("default", everything("x"), text) == []


async def test_the_picker_shows_what_its_user_may_see(picker):
    mine = limited(("Patient", "rs"), patient="p2")
    assert await picker.find("default", mine, "roe") == []
    assert await picker.get("default", mine, "p1") is None
    assert await picker.get("default", mine, "p2") is not None
    with pytest.raises(Forbidden):
        await picker.find("default", limited(("Observation", "rs")), "roe")


# --- settings ---


def test_an_issuer_has_the_system_that_the_same_assigner_has_in_hl7_v2():
    assert joints.identifier_system(Issuer("HOSP")) == "urn:hounsfield:assigner:HOSP"
    known = Issuer("HOSP", universal_id="1.2.3", universal_id_type="ISO")
    assert joints.identifier_system(known) == "urn:oid:1.2.3"


@pytest.mark.parametrize(
    ("text", "hours"), [("+01:00", 1), ("-05:30", -5.5), ("+00:00", 0), ("-00:45", -0.75)]
)
def test_a_zone_may_be_an_offset(text, hours):
    assert joints.zone_of(text).utcoffset(None) == timedelta(hours=hours)


def test_a_zone_may_be_a_name_or_none():
    assert joints.zone_of(None) is None
    assert joints.zone_of("Europe/Paris") == ZoneInfo("Europe/Paris")


# --- SeriesPicture ---


@pytest.fixture
async def archive(tmp_path):
    opened = LocalArchive(tmp_path / "archive")
    await opened.open()
    await dicomweb.store(opened, *small_study.files())
    yield opened
    await opened.close()


async def test_a_picture_is_for_those_who_see_the_study(context_for, archive):
    picture = joints.SeriesPicture(archive, joints.VisibleStudies(context_for))
    series = f"{UID}.1"
    for access in (everything("x"), limited(("*", "rs"), patient="p1")):
        drawn = await picture("default", access, UID, series, 32)
        assert drawn.startswith(b"\x89PNG")
    for access in (limited(("*", "rs"), patient="p2"), limited(("Patient", "rs"))):
        assert await picture("default", access, UID, series, 32) is None
    assert await picture("default", everything("x"), UID, "1.2.3", 32) is None


async def test_a_series_that_is_no_picture_or_whose_file_is_gone_has_none(context_for, archive):
    picture = joints.SeriesPicture(archive, joints.VisibleStudies(context_for))

    class Gone:
        def __getattr__(self, name):
            return getattr(archive, name)

        async def open_file(self, tenant, instance):
            raise NotFound("gone")

    gone = joints.SeriesPicture(Gone(), joints.VisibleStudies(context_for))
    assert await gone("default", everything("x"), UID, f"{UID}.1", 32) is None
    report = dicomweb.ct(study=9, Rows=None, Columns=None, PixelData=None)
    await dicomweb.store(archive, report)
    assert (
        await picture("default", everything("x"), f"{dicomweb.ROOT}.9", f"{dicomweb.ROOT}.9.1", 32)
        is None
    )


# --- Follower ---


class Ingest:
    """What the follower tells, with faults on the way."""

    def __init__(self, fault=None):
        self.told = []
        self.reconciled = 0
        self.fault = fault

    async def reconcile(self):
        self.reconciled += 1

    async def follow(self, tenant, resource):
        self.told.append(f"{resource['resourceType']}/{resource['id']}")
        if self.fault is not None and resource["id"] == "p1":
            raise self.fault


async def followed(world, ingest, last):
    follower = joints.Follower(world.store, world.documents, ingest)
    running = asyncio.create_task(follower.run())

    async def kept():
        found = await world.documents.get(tenancy.DEFAULT, "feeds", "dicomweb")
        return running.done() or (last in ingest.told and found and int(found.value))

    await eventually(kept)
    running.cancel()
    (ended,) = await asyncio.gather(running, return_exceptions=True)
    return ended


async def test_new_patients_and_orders_are_told_and_nothing_else_and_nothing_twice(world):
    first = Ingest()
    await world.put(small_study.order())
    await followed(world, first, "ServiceRequest/o1")
    assert first.reconciled == 1
    assert first.told == ["Patient/p1", "Patient/p2", "ServiceRequest/o1"]
    await world.call("DELETE", "ServiceRequest/o1")
    await world.put(small_study.patient("p3"))
    second = Ingest()
    await followed(world, second, "Patient/p3")
    assert second.told == ["Patient/p3"]


async def test_a_refused_telling_holds_up_no_later_one(world):
    ingest = Ingest(Conflict("racing"))
    await followed(world, ingest, "Patient/p2")
    assert ingest.told == ["Patient/p1", "Patient/p2"]


async def test_a_fault_ends_the_follower_and_the_next_begins_where_it_was(world):
    ended = await followed(world, Ingest(OSError("disk")), "Patient/p2")
    assert isinstance(ended, OSError)
    assert not isinstance(ended, FhirError)
    again = Ingest()
    await followed(world, again, "Patient/p2")
    assert again.told == ["Patient/p1", "Patient/p2"]
