"""What a condition may say, and where: http.html#ccreate, #cond-update, #cdelete."""

import json

import pytest
from bodies import observation, patient


async def test_a_condition_for_another_type_is_refused(door):
    for condition in ("Observation?active=true", "Patient/p?active=true"):
        refused = await door.call("POST", "Patient", patient(), if_none_exist=condition)
        assert refused.status == 400
    for condition in ("active=true", "?active=true", "Patient?active=true"):
        assert (
            await door.call("POST", "Patient", patient(), if_none_exist=condition)
        ).status == 201


async def test_a_question_mark_may_be_within_a_value(door):
    held = patient(identifier=[{"system": "http://ids?x", "value": "1"}])
    sent = {"if_none_exist": "identifier=http://ids?x|1"}
    assert [(await door.call("POST", "Patient", held, **sent)).status for _ in range(2)] == [
        201,
        200,
    ]


async def test_a_condition_may_refer_by_our_own_base(door):
    base = door.context.base
    held = observation(None, "Patient/p")
    held.pop("id", None)
    sent = {"if_none_exist": f"subject={base}/Patient/p"}
    statuses = [(await door.call("POST", "Observation", held, **sent)).status for _ in range(2)]
    assert statuses == [201, 200]


async def test_a_delete_is_told_of_where_it_is_asked_for(door):
    await door.give("PUT", "Patient/p", patient("p"))
    told = await door.call("DELETE", "Patient/p", prefer="return=OperationOutcome")
    assert (told.status, told.headers["ETag"]) == (200, 'W/"2"')
    assert json.loads(told.body)["resourceType"] == "OperationOutcome"
    assert (await door.call("DELETE", "Patient/p", prefer="return=minimal")).status == 204


@pytest.mark.parametrize(
    "prefer", ["Return=minimal", "return = minimal", "return=minimal;return=representation"]
)
async def test_a_preference_is_read_as_its_rfc_says(door, prefer):
    assert (await door.call("POST", "Patient", patient(), prefer=prefer)).body == b""


@pytest.mark.parametrize(
    "prefer",
    [
        'foo="a,return=minimal"',
        'foo="a;return=minimal", bar',
        'foo="\\",return=minimal"',
        "foo=return",
    ],
)
async def test_a_preference_within_quotes_is_none(door, prefer):
    assert (await door.call("POST", "Patient", patient(), prefer=prefer)).body != b""


@pytest.mark.parametrize("prefer", ['foo="a,b", return="minimal"', 'x="\\"";y=1;return=minimal'])
async def test_a_preference_beside_quotes_is_one(door, prefer):
    assert (await door.call("POST", "Patient", patient(), prefer=prefer)).body == b""


async def test_a_compartment_is_searched_by_post(door):
    await door.give("PUT", "Patient/p", patient("p"))
    await door.give("PUT", "Observation/o", observation("o", "Patient/p"))
    await door.give("PUT", "Observation/other", observation("other", "Patient/q"))
    kind = {"content_type": "application/x-www-form-urlencoded"}
    found = await door.give("POST", "Patient/p/Observation/_search", b"_count=5", **kind)
    assert [e["resource"]["id"] for e in found["entry"]] == ["o"]
    assert (await door.call("GET", "Patient/p/Observation/_search")).headers["Allow"] == "POST"


async def test_a_form_that_is_no_utf8_is_refused(door):
    kind = {"content_type": "application/x-www-form-urlencoded"}
    assert (await door.call("POST", "Patient/_search", b"name=%ff", **kind)).status == 400


async def test_history_gives_parts_too(door):
    await door.give("PUT", "Patient/p", patient("p", birthDate="1970", gender="male"))
    await door.call("DELETE", "Patient/p")
    for url in ("Patient/p/_history", "Patient/_history", "_history"):
        found = (await door.give("GET", f"{url}?_elements=gender"))["entry"]
        assert "resource" not in found[0]
        assert found[1]["resource"]["gender"] == "male"
        assert "birthDate" not in found[1]["resource"]
        assert found[1]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    whole = (await door.give("GET", "Patient/p/_history?_summary=false"))["entry"]
    assert whole[1]["resource"]["birthDate"] == "1970"
    for wrong in ("_summary=count", "_summary=x", "_elements=nonsense"):
        assert (await door.call("GET", f"Patient/p/_history?{wrong}")).status == 400


async def test_a_moment_looks_at_one_older_version_of_each_resource(door, monkeypatch):
    for n in range(12):
        for id_ in ("p", "q"):
            last = await door.give("PUT", f"Patient/{id_}", patient(id_, birthDate=f"{1970 + n}"))
    looks = []
    store = door.context.services.store
    real = type(store).vread

    async def counted(self, key, number):
        looks.append(key)
        return await real(self, key, number)

    monkeypatch.setattr(type(store), "vread", counted)
    moment = last["meta"]["lastUpdated"].replace("2023", "2033")
    found = await door.give("GET", f"Patient/_history?_at={moment}")
    assert [e["resource"]["meta"]["versionId"] for e in found["entry"]] == ["12", "12"]
    assert len(looks) == 2


async def test_a_condition_is_read_as_utf_8(door):
    held = patient(name=[{"family": "Müller"}])
    for condition in ("family=Müller", "family=M%C3%BCller", "Patient?family=M%c3%bcller"):
        await door.call("POST", "Patient", held, if_none_exist=condition)
        again = await door.call("POST", "Patient", held, if_none_exist=condition)
        assert again.status == 200
    assert len(await door.ids("Patient")) == 1


async def test_a_condition_that_is_no_utf_8_is_refused(door):
    wrong = "family=M%F6ller"
    assert (await door.call("POST", "Patient", patient(), if_none_exist=wrong)).status == 400
    request = {"method": "POST", "url": "Patient", "ifNoneExist": wrong}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": patient(), "request": request}]}
    refused = await door.call("POST", "", {**bundle, "type": "transaction"})
    assert refused.status == 400
    told = await door.give("POST", "", {**bundle, "type": "batch"})
    assert told["entry"][0]["response"]["status"] == "400"
    refers = observation(None, f"Patient?{wrong}")
    entry = {"resource": refers, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    refers.pop("id")
    assert (await door.call("POST", "", bundle)).status == 400
    assert await door.ids("Patient") == []
