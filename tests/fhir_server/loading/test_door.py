"""Groups through a door: what is refused is told, what the server cannot do just now is not passed over."""

import json

import pytest

from fhir_server import app
from fhir_server.files import texts
from fhir_server.loading.door import Door
from fhir_server.loading.here import door as door_of
from fhir_server.loading.load import BrokenOff, Loaded
from fhir_server.settings import Settings

CONTENT = [400, 404, 405, 409, 410, 412, 413, 422]
NOT_NOW = [302, 401, 403, 408, 429, 500, 502, 503]


def written(folder, *resources):
    path = folder / "some.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in resources))
    return list(texts(path))


@pytest.fixture
def group(tmp_path):
    return written(tmp_path, *({"resourceType": "Patient", "id": f"p{n}"} for n in range(3)))


def answered(*statuses):
    entries = [{"response": {"status": f"{status} As it is"}} for status in statuses]
    return 200, {"resourceType": "Bundle", "type": "batch-response", "entry": entries}


class Server:
    """Answers as it is told to, and keeps what it was sent: the type of each Bundle and its requests."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def send(self, bundle):
        urls = [entry["request"]["url"] for entry in bundle["entry"]]
        self.sent.append((bundle["type"], urls))
        return self.answers.pop(0)


async def store(server, group):
    totals = Loaded()
    await Door(server.send).store(group, "mark", totals)
    return totals


@pytest.mark.parametrize("status", NOT_NOW)
async def test_a_server_that_cannot_just_now_is_not_asked_again(group, status):
    server = Server((status, {}))
    with pytest.raises(BrokenOff, match=f"answers {status}"):
        await store(server, group)
    assert [kind for kind, _ in server.sent] == ["transaction"]


@pytest.mark.parametrize("status", NOT_NOW)
async def test_a_batch_that_cannot_be_done_just_now_is_not_refused(group, status):
    with pytest.raises(BrokenOff):
        await store(Server((422, {}), (status, {})), group)


@pytest.mark.parametrize("status", [*NOT_NOW[1:], 0])
async def test_an_entry_that_cannot_be_done_just_now_breaks_off_and_the_others_count(group, status):
    totals = Loaded()
    server = Server((422, {}), answered(201, status, 422))
    with pytest.raises(BrokenOff):
        await Door(server.send).store(group, "mark", totals)
    assert (totals.stored, [one.place for one in totals.refused]) == (1, [3])


@pytest.mark.parametrize("status", CONTENT)
async def test_an_entry_whose_content_is_refused_is_told_and_the_others_are_stored(group, status):
    totals = await store(Server((status, {}), answered(201, status, 200)), group)
    assert (totals.stored, [one.place for one in totals.refused]) == (2, [2])


@pytest.mark.parametrize("status", [404, 405])
async def test_a_base_that_takes_no_bundles_is_no_refusal_of_their_content(group, status):
    with pytest.raises(BrokenOff):
        await store(Server((status, {}), (status, {})), group)


@pytest.mark.parametrize("status", [400, 413])
async def test_a_batch_that_is_too_large_is_sent_in_halves(group, status):
    server = Server(
        (status, {}), (status, {}), answered(201), (status, {}), answered(201), (413, {})
    )
    totals = await store(server, group)
    assert (totals.stored, [one.place for one in totals.refused]) == (2, [3])
    assert [len(urls) for _, urls in server.sent] == [3, 3, 1, 2, 1, 1]


@pytest.mark.parametrize("answer", [{}, {"resourceType": "Patient"}])
async def test_what_answers_no_bundle_has_stored_nothing(group, answer):
    with pytest.raises(BrokenOff, match="no FHIR server"):
        await store(Server((200, answer)), group)


async def test_a_batch_answered_in_part_is_not_behind(group):
    with pytest.raises(BrokenOff, match="each entry"):
        await store(Server((422, {}), answered(201, 201)), group)


async def test_a_bundle_of_a_file_that_cannot_be_done_just_now_breaks_off(tmp_path):
    get = {"request": {"method": "GET", "url": "Patient/1"}}
    group = written(tmp_path, {"resourceType": "Bundle", "type": "batch", "entry": [get, get]})
    with pytest.raises(BrokenOff):
        await store(Server((503, {})), group)
    with pytest.raises(BrokenOff):
        await store(Server(answered(200, 503)), group)
    totals = await store(Server(answered(200, 404)), group)
    assert (totals.stored, len(totals.refused)) == (1, 1)


def observation(id_, query, **more):
    made = {"resourceType": "Observation", "id": id_, "status": "final", "code": {"text": "x"}}
    return {**made, "subject": {"reference": f"Patient?identifier=u|{query}"}, **more}


async def test_references_by_query_are_resolved_in_their_order_whatever_stands_beside_them(
    tmp_path,
):
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "u", "value": "1"}]}
    wrong, nobody = observation("b", "1", foo=1), observation("n", "2")
    after = {"resourceType": "Patient", "id": "q"}
    group = written(
        tmp_path, patient, observation("a", "1"), wrong, nobody, observation("c", "1"), after
    )
    async with app.installation(Settings(data=tmp_path / "data"), "http://localhost") as house:
        totals = Loaded()
        await door_of(house.ours("default")).store(group, "mark", totals)
    assert totals.stored == 4
    assert [one.place for one in totals.refused] == [3, 4]
    assert totals.refused[0].reason.endswith("(Observation.foo)")
    assert totals.refused[1].reason == "A conditional reference matches nothing"
