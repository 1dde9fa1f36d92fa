"""Files loaded straight into a store: each resource once, whatever breaks off and however often it begins."""

import gzip
import json

import pytest
import pytest_asyncio

from fhir_server import app, tenancy
from fhir_server.files import texts
from fhir_server.interactions.dispatch import dispatch
from fhir_server.loading import load as loading
from fhir_server.loading import straight
from fhir_server.loading.here import door as door_of
from fhir_server.loading.preparing import Preparing, prepare
from fhir_server.loading.progress import Progress
from fhir_server.loading.straight import Straight
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings
from fhir_server.store.port import Page, Scope, StoreUnavailable
from resources.model import parse
from resources.outcome import Forbidden, Unavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    async with app.installation(Settings(data=folder), "http://localhost") as made:
        yield made


@pytest.fixture
def context(house, tmp_path):
    """Give a tenant of its own to each test."""
    return house.ours(tmp_path.name.replace("_", "-"), "load")


def patient(name, id_=None):
    made = {"resourceType": "Patient", "name": [{"family": name}]}
    return made if id_ is None else {**made, "id": id_}


def written(folder, *resources, name="some.ndjson"):
    path = folder / name
    lines = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in resources)
    path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    return path


async def loaded(context, path, *, progress=None, size=1000):
    way = Straight(context, Preparing(context), door_of(context))
    way.size = size
    progress = progress or Progress(path.with_suffix(".state"), "store")
    return [totals async for totals in loading.load([path], way, progress)][-1]


async def versions(context):
    found = await context.services.store.history(Scope(context.tenant), Page(1000))
    return [(version.key.reference, version.version_id) for version in reversed(found)]


async def families(context):
    found = await dispatch(context, FhirRequest("GET", "Patient", (("_count", "200"),)))
    return sorted(e["resource"]["name"][0]["family"] for e in parse(found.body)["entry"])


async def test_what_is_loaded_is_found(context, tmp_path):
    path = written(tmp_path, patient("Elm", "a"), patient("Fir"), name="some.ndjson.gz")
    totals = await loaded(context, path)
    assert (totals.stored, totals.refused) == (2, [])
    found = await dispatch(context, FhirRequest("GET", "Patient", (("family", "elm"),)))
    assert [e["resource"]["id"] for e in parse(found.body)["entry"]] == ["a"]


async def test_what_is_refused_is_told_by_its_line_and_without_its_values(context, tmp_path):
    wrong = {**patient("Secret", "b"), "gender": "Secret"}
    path = written(tmp_path, patient("Elm", "a"), wrong, "{broken\n", patient("Fir", "c"))
    totals = await loaded(context, path)
    assert totals.stored == 2
    assert [one.place for one in totals.refused] == [2, 3]
    assert "Patient.gender" in totals.refused[0].reason
    assert not [one for one in totals.refused if "Secret" in one.reason]


async def test_a_second_load_passes_over_what_the_first_stored(context, tmp_path):
    path = written(tmp_path, patient("Elm", "a"), patient("Fir"))
    await loaded(context, path)
    totals = await loaded(context, path)
    assert (totals.stored, totals.skipped) == (0, 2)


async def test_a_second_load_tells_what_the_first_refused(context, tmp_path):
    wrong = {**patient("Fir", "b"), "gender": "x"}
    path = written(tmp_path, patient("Elm", "a"), wrong, patient("Oak"), "{broken\n")
    first = await loaded(context, path, size=2)
    second = await loaded(context, path, size=2)
    assert (first.stored, first.skipped, first.before) == (2, 0, 0)
    assert (second.stored, second.skipped, second.refused, second.before) == (0, 2, [], 2)
    assert second.told == first.refused


async def test_what_was_refused_of_a_group_that_broke_off_is_told_once(context, tmp_path):
    wrong = {**patient("Fir", "b"), "gender": "x"}
    path, state = written(tmp_path, wrong, patient("Elm", "a"), wrong), tmp_path / "state"
    with pytest.raises(Killed):
        await loaded(context, path, progress=Forgetful(state, 1), size=2)
    totals = await loaded(context, path, progress=Progress(state, "store"), size=2)
    assert (totals.stored, totals.skipped, totals.before, len(totals.refused)) == (0, 1, 1, 1)


class Killed(Exception):
    pass


class Forgetful(Progress):
    """Fails where a kill after the commit would: before it keeps that a group is behind."""

    def __init__(self, file, groups):
        super().__init__(file, "store")
        self._left = groups

    def advance(self, mark, place, refused=()):
        if not self._left:
            raise Killed
        self._left -= 1
        super().advance(mark, place, refused)


@pytest.mark.parametrize("groups", [0, 1, 2])
async def test_a_load_that_was_killed_neither_doubles_nor_loses(context, tmp_path, groups):
    path = written(tmp_path, *(patient(f"N{n}") for n in range(10)))
    state = tmp_path / "state"
    with pytest.raises(Killed):
        await loaded(context, path, progress=Forgetful(state, groups), size=3)
    totals = await loaded(context, path, progress=Progress(state, "store"), size=3)
    assert totals.skipped == 3 * groups
    assert await families(context) == sorted(f"N{n}" for n in range(10))
    assert {number for _, number in await versions(context)} == {1}


async def test_a_load_begun_anew_makes_no_version_of_what_is_there(context, tmp_path):
    path = written(tmp_path, patient("Elm", "a"), patient("Fir"))
    await loaded(context, path)
    before = await versions(context)
    await loaded(context, path, progress=Progress(tmp_path / "another", "store"))
    assert await versions(context) == before


async def test_lines_of_one_resource_become_its_versions_in_their_order(context, tmp_path):
    path = written(tmp_path, patient("Elm", "a"), patient("Fir", "a"), patient("Oak", "a"))
    await loaded(context, path)
    assert await versions(context) == [("Patient/a", 1), ("Patient/a", 2), ("Patient/a", 3)]
    assert await families(context) == ["Oak"]


async def test_a_bundle_of_requests_and_a_conditional_reference_go_through_the_door(
    context, tmp_path
):
    known = {**patient("Elm", "a"), "identifier": [{"system": "urn:x", "value": "1"}]}
    made = {"resource": patient("Fir"), "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [made]}
    collection = {"resourceType": "Bundle", "type": "collection"}
    collection["entry"] = [{"resource": patient("Oak", "o")}]
    basic = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
    basic["subject"] = {"reference": "Patient?identifier=urn:x|1"}
    totals = await loaded(context, written(tmp_path, known, basic, bundle, collection))
    assert (totals.stored, totals.refused) == (4, [])
    assert await families(context) == ["Elm", "Fir", "Oak"]
    found = await dispatch(context, FhirRequest("GET", "Basic/b"))
    assert parse(found.body)["subject"]["reference"] == "Patient/a"


async def test_one_reference_to_nothing_is_refused_without_those_beside_it(tmp_path):
    settings = Settings(data=tmp_path / "data", unresolved_references="refuse")
    basic = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
    basic["subject"] = {"reference": "Patient/none"}
    path = written(tmp_path, patient("Elm", "a"), patient("Fir", "c"), basic, patient("Oak", "d"))
    async with app.installation(settings, "http://localhost") as house:
        totals = await loaded(house.ours(tenancy.DEFAULT, "load"), path)
        assert totals.stored == 3
        assert [one.place for one in totals.refused] == [3]


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("it is gone"), Unavailable("no audit trail"), Forbidden("not you")]
)
async def test_what_the_store_cannot_take_just_now_is_not_refused(
    context, tmp_path, monkeypatch, fault
):
    async def fails(*_):
        raise fault

    path = written(tmp_path, patient("Elm", "a"), patient("Fir"))
    with monkeypatch.context() as broken:
        broken.setattr(straight, "put", fails)
        with pytest.raises(loading.BrokenOff):
            await loaded(context, path)
    totals = await loaded(context, path)
    assert (totals.stored, totals.skipped, totals.refused) == (2, 0, [])


async def test_other_processes_prepare_what_this_one_would(context, tmp_path):
    wrong = {**patient("Elm", "b"), "gender": "x"}
    path = written(tmp_path, *(patient(f"N{n}") for n in range(60)), wrong, patient("Fir", "c"))
    group = list(texts(path))
    with Preparing(context, 2) as preparing:
        elsewhere = await preparing.group(group, "mark")
    assert elsewhere == [prepare(context, text, "mark") for text in group]
    assert sum(len(one.changes) for one in elsewhere) == 61


async def test_what_is_loaded_is_in_the_audit_trail(house, context, tmp_path):
    await loaded(context, written(tmp_path, patient("Elm", "a"), patient("Fir", "b")))
    journals = [path.read_text() for path in house.settings.data.glob("audit/*")]
    assert "Patient/a/_history/1" in "".join(journals)
    assert "Patient/b/_history/1" in "".join(journals)
