"""If-Match and If-None-Match of writes: http.html#concurrency, RFC 9110 13.1."""

import asyncio
import base64
import itertools
import json
from email.utils import formatdate

import pytest
from bodies import patient
from msgspec.structs import replace


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('W/"2"', 200),
        ('"2"', 200),
        ('"1", W/"2"', 200),
        ("*", 200),
        ('"1"', 412),
        ('"1", "3"', 412),
        ('W/"abc"', 412),
        ('"12345678901"', 412),
        ("2", 400),
        ("", 400),
        ('"2" "3"', 400),
    ],
)
async def test_if_match_takes_a_list_or_a_star(door, tags, status):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p1", patient("p1"))
    for method, body, more in (
        ("PUT", patient("p1", active=True), {}),
        ("PATCH", [], {"content_type": "application/json-patch+json"}),
        ("DELETE", None, {}),
    ):
        answered = await door.call(method, "Patient/p1", body, if_match=tags, **more)
        assert answered.status == (204 if status == 200 and method == "DELETE" else status), method
        if status == 200 and method != "DELETE":
            tags = tags if tags == "*" else answered.headers["ETag"]


async def test_a_star_needs_that_something_is_there(door):
    assert (await door.call("PUT", "Patient/n", patient("n"), if_match="*")).status == 412
    await door.give("PUT", "Patient/n", patient("n"))
    await door.call("DELETE", "Patient/n")
    assert (await door.call("PUT", "Patient/n", patient("n"), if_match="*")).status == 412
    assert (await door.call("DELETE", "Patient/n", if_match="*")).status == 412


async def test_if_none_match_star_only_creates(door):
    made = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match="*")
    again = await door.call("PUT", "Patient/p1", patient("p1", active=True), if_none_match="*")
    assert (made.status, again.status) == (201, 412)
    known = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match='W/"1"')
    other = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match='W/"9"')
    assert (known.status, other.status) == (412, 200)
    await door.call("DELETE", "Patient/p1")
    assert (await door.call("PUT", "Patient/p1", patient("p1"), if_none_match="*")).status == 201


def _written(offset):
    """Give an HTTP date, so many seconds from the moment at which the clock of these tests begins."""
    return formatdate(1_700_000_000 + offset, usegmt=True)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"if_unmodified_since": _written(-3600)}, 412),
        ({"if_unmodified_since": _written(-3600).removesuffix(" GMT")}, 412),
        ({"if_unmodified_since": _written(3600)}, 200),
        ({"if_unmodified_since": "long ago"}, 200),
        ({"if_unmodified_since": _written(-3600), "if_match": 'W/"1"'}, 200),
    ],
)
@pytest.mark.parametrize("condition", ["Patient/p", "Patient?_id=p"])
async def test_a_write_may_ask_that_nothing_was_changed_since_a_moment(
    door, condition, header, status
):
    await door.give("PUT", "Patient/p", patient("p"))
    for method, body, more in (
        ("PUT", patient("p", active=True), {}),
        ("PATCH", [], {"content_type": "application/json-patch+json"}),
        ("DELETE", None, {}),
    ):
        answered = await door.call(method, condition, body, **header, **more)
        assert answered.status == (204 if status == 200 and method == "DELETE" else status), method
        if "if_match" in header and method != "DELETE":
            header = header | {"if_match": answered.headers["ETag"]}
    new = await door.call(
        "PUT", "Patient/n", patient("n"), if_unmodified_since=header["if_unmodified_since"]
    )
    assert new.status == 201


async def test_of_those_that_race_to_create_one_id_one_wins(door):
    answers = await asyncio.gather(
        *(door.call("PUT", "Patient/one", patient("one"), if_none_match="*") for _ in range(8))
    )
    assert sorted(a.status for a in answers) == [201] + [412] * 7


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        ({"method": "PUT", "url": "Patient/p1", "ifMatch": 'W/"7"'}, "Bundle.entry[1]"),
        ({"method": "PUT", "url": "Patient/p1", "ifNoneMatch": "*"}, "Bundle.entry[1]"),
        ({"method": "DELETE", "url": "Patient/p1", "ifMatch": 'W/"7"'}, "Bundle.entry[1]"),
    ],
)
async def test_a_precondition_that_fails_in_a_transaction_names_its_entry(door, request_, place):
    await door.give("PUT", "Patient/p1", patient("p1"))
    entries = [
        {"request": {"method": "POST", "url": "Patient"}, "resource": patient()},
        {"request": request_, "resource": patient("p1")},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    refused = await door.call("POST", "", bundle)
    assert refused.status == 412
    assert json.loads(refused.body)["issue"][0]["expression"] == [place]
    assert await door.ids("Patient") == ["p1"]


async def test_a_part_of_a_resource_is_not_written_over_the_whole(door):
    await door.give(
        "PUT", "Patient/p1", patient("p1", active=True, contact=[{"name": {"text": "c"}}])
    )
    part = await door.give("GET", "Patient/p1?_summary=true")
    assert (await door.call("PUT", "Patient/p1", part)).status == 422
    entry = {"request": {"method": "PUT", "url": "Patient/p1"}, "resource": part}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await door.call("POST", "", bundle)).status == 422
    assert (await door.give("GET", "Patient/p1"))["contact"]
    copy = {**part, "id": "copy"}
    assert [(await door.call("PUT", "Patient/copy", copy)).status for _ in range(2)] == [201, 200]


PATCH_JSON = {"content_type": "application/json-patch+json"}
WRITES = (("PUT", patient("p1")), ("PATCH", []), ("DELETE", None))


def one_entry(method, url, resource=None, **request):
    entry = {"request": {"method": method, "url": url, **request}}
    if method == "PATCH":
        data = base64.b64encode(json.dumps(resource).encode()).decode()
        resource = {
            "resourceType": "Binary",
            "contentType": "application/json-patch+json",
            "data": data,
        }
    return entry if resource is None else {**entry, "resource": resource}


async def statuses(door, method, url, body, header, value):
    """Give the status of one write alone, as a batch entry and as a transaction entry."""
    alone = await door.call(
        method, url, body, **{header: value}, **(PATCH_JSON if method == "PATCH" else {})
    )
    first, *rest = header.split("_")
    name = first + "".join(part.title() for part in rest)
    found = [alone.status]
    for kind in ("batch", "transaction"):
        entry = one_entry(method, url, body, **{name: value})
        answered = await door.call(
            "POST", "", {"resourceType": "Bundle", "type": kind} | {"entry": [entry]}
        )
        told = json.loads(answered.body)
        found.append(
            answered.status
            if kind == "transaction"
            else int(told["entry"][0]["response"]["status"])
        )
    return found


@pytest.mark.parametrize("url", ["Patient/p1", "Patient?_id=p1"])
async def test_if_none_match_is_judged_for_every_write(door, url):
    await door.give("PUT", "Patient/p1", patient("p1"))
    judged = (("*", 412), ('W/"1"', 412), ('"9", "1"', 412), ("current", 400))
    for (method, body), (tags, status) in itertools.product(WRITES, judged):
        found = await statuses(door, method, url, body, "if_none_match", tags)
        assert found == [status] * 3, (method, tags)
    assert (await door.call("GET", "Patient/p1")).headers["ETag"] == 'W/"1"'


NOTHING = ("Patient?_id=none", "Patient/none")


async def test_if_match_does_not_hold_of_what_a_deletion_does_not_find(door):
    judged = (("*", 412), ('W/"1"', 412), ("1", 400), ('""', 412))
    for several, url, (tags, status) in itertools.product((False, True), NOTHING, judged):
        other = door.with_policy(delete_several=several)
        found = await statuses(other, "DELETE", url, None, "if_match", tags)
        assert found == [status] * 3, (several, url, tags)


async def test_if_none_match_holds_of_what_a_deletion_does_not_find(door):
    for url, tags in itertools.product(NOTHING, ("*", 'W/"1"', "garbage")):
        found = await statuses(door, "DELETE", url, None, "if_none_match", tags)
        assert found == ([400] * 3 if tags == "garbage" else [204, 204, 200]), (url, tags)


async def test_if_none_match_keeps_any_of_several_from_being_deleted(door):
    for n in "12":
        await door.give("PUT", f"Patient/{n}", patient(n, active=True))
    several = door.with_policy(delete_several=True)
    for tags in ("*", 'W/"1"'):
        url = "Patient?active=true"
        assert await statuses(several, "DELETE", url, None, "if_none_match", tags) == [412] * 3
    assert await door.ids("Patient?_sort=_id") == ["1", "2"]


async def test_a_condition_that_a_method_does_not_take_is_refused(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    for method, body in WRITES:
        found = await statuses(door, method, "Patient/p1", body, "if_none_exist", "_id=p1")
        assert found == [400] * 3, method
    for header in ("if_match", "if_none_match"):
        found = await statuses(door, "POST", "Patient", patient(), header, "*")
        assert found == [400] * 3, header
    assert await door.ids("Patient") == ["p1"]
    assert (await door.call("GET", "Patient/p1")).headers["ETag"] == 'W/"1"'


async def test_a_condition_on_a_bundle_itself_is_refused(door):
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": []}
    assert (await door.call("POST", "", bundle, if_match='W/"1"')).status == 400
    assert (await door.call("POST", "", bundle)).status == 200


class Meanwhile:
    """A store to which something is done just before the first commit through it."""

    def __init__(self, store, work):
        self._store = store
        self._work = work

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, changes, preconditions=()):
        work, self._work = self._work, None
        if work is not None:
            await work()
        return await self._store.commit(changes, preconditions)


@pytest.mark.parametrize("kind", ["alone", "batch", "transaction"])
@pytest.mark.parametrize(
    ("method", "header", "other", "status"),
    [
        ("PUT", {"if_match": "*"}, "DELETE", 412),
        ("PUT", {"if_match": "*"}, "PUT", 200),
        ("PUT", {"if_none_match": 'W/"2"'}, "PUT", 412),
        ("PUT", {"if_none_match": 'W/"7"'}, "PUT", 200),
        ("DELETE", {"if_match": "*"}, "DELETE", 412),
        ("DELETE", {"if_match": "*"}, "PUT", 204),
        ("DELETE", {"if_none_match": 'W/"2"'}, "PUT", 412),
        ("DELETE", {"if_match": 'W/"1"'}, "PUT", 412),
    ],
)
async def test_a_condition_holds_against_who_came_between(
    door, kind, method, header, other, status
):
    await door.give("PUT", "Patient/p", patient("p"))

    async def between():
        await door.give(other, "Patient/p", patient("p", active=True) if other == "PUT" else None)

    services = door.context.services
    late = type(door)(
        replace(door.context, services=replace(services, store=Meanwhile(services.store, between)))
    )
    body = patient("p", gender="female") if method == "PUT" else None
    if kind == "alone":
        answered = await late.call(method, "Patient/p", body, **header)
        found = answered.status
    else:
        ((name, value),) = header.items()
        asked = {"if_match": "ifMatch", "if_none_match": "ifNoneMatch"}[name]
        entry = {"request": {"method": method, "url": "Patient/p", asked: value}}
        entry |= {"resource": body} if body else {}
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
        answered = await late.call("POST", "", bundle)
        found = answered.status
        if found == 200:
            found = int(json.loads(answered.body)["entry"][0]["response"]["status"])
    assert found == status, answered.body
    versions = {"PUT": 2, "DELETE": 2}[other] + (status < 300)
    history = await door.give("GET", "Patient/p/_history")
    assert len(history["entry"]) == versions
