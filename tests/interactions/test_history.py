"""Interaction history: statuses as they were answered, links that say what is shown (http.html#history)."""

import itertools

from bodies import patient

from fhir_server.store.port import Key

PLACES = ("Patient/p1/_history", "Patient/_history", "_history")
REFUSED = (
    *("_count=0", "_count=00", "_count=-1", "_count=x", "_count=", "_count=%D9%A3"),
    *("_count=1&_count=2", "_count=1&_count=1", "_since=2020&_since=2021", "_at=2020&_at=2021"),
    *("_summary=true&_summary=false", "_summary=count"),
)


async def lives(door, id_):
    """Write a resource through two lives; gives the statuses of the answers, newest first."""
    path, answers = f"Patient/{id_}", []
    patched = [{"op": "add", "path": "/gender", "value": "male"}]
    for method, body in (
        ("PUT", patient(id_)),
        ("PUT", patient(id_, active=True)),
        ("DELETE", None),
        ("PUT", patient(id_)),
        ("PATCH", patched),
        ("PUT", patient(id_)),
    ):
        kind = "application/json-patch+json" if method == "PATCH" else "application/fhir+json"
        answers.append((await door.call(method, path, body, content_type=kind)).status)
    return [str(status) for status in reversed(answers)]


async def told(door, url):
    """Follow the pages of a history; gives each entry's url and status, newest first."""
    found = []
    while url:
        bundle = await door.give("GET", url)
        found += [(e["request"]["url"], e["response"]["status"]) for e in bundle.get("entry", ())]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links.get("next", "").removeprefix(f"{door.context.base}/")
    return found


async def test_a_status_is_that_which_the_write_was_answered_with(door):
    answered = await lives(door, "p1")
    assert answered == ["200", "200", "201", "204", "200", "201"]
    for place, count in itertools.product(PLACES, (1, 2, 50)):
        found = await told(door, f"{place}?_count={count}")
        assert [status for _, status in found] == answered, (place, count)


async def test_predecessors_beyond_the_page_are_asked_for_at_once(door, monkeypatch):
    for id_ in ("p1", "p2", "p3"):
        await door.give("PUT", f"Patient/{id_}", patient(id_))
    for id_ in ("p1", "p2"):
        await door.give("DELETE", f"Patient/{id_}")
    for id_ in ("p1", "p2", "p3"):
        await door.call("PUT", f"Patient/{id_}", patient(id_))
    store, asked = type(door.context.services.store), []
    deletions = store.deletions

    async def counted(self, numbers):
        asked.append(len(numbers))
        return await deletions(self, numbers)

    monkeypatch.setattr(store, "deletions", counted)
    first = await door.give("GET", "Patient/_history?_count=2")
    assert [e["response"]["status"] for e in first["entry"]] == ["200", "201"]
    await door.give("GET", "Patient/p1/_history")
    await door.give("GET", "Patient/_history")
    assert asked == [2]


async def test_a_purged_predecessor_is_told_as_an_update(door):
    await lives(door, "p1")
    await door.give("DELETE", "Patient/p1")
    await door.call("PUT", "Patient/p1", patient("p1"))
    store = door.context.services.store
    assert await store.purge(Key(door.context.tenant, "Patient", "p1")) == 7
    assert await told(door, "Patient/p1/_history") == [("Patient/p1", "200")]


async def test_links_say_all_that_was_asked_for(door):
    for _ in range(3):
        await door.call("PUT", "Patient/p1", patient("p1", active=True, gender="male"))
    for place in PLACES:
        assert await pages(door, place) == [{"active", "gender"}] * 3


async def pages(door, place):
    """Look at the links of a history whose parameters come several times; gives what each page has."""
    query = "_elements=active&_elements=gender&_count=1&_pretty=true"
    url, found = f"{place}?{query}", []
    while url:
        bundle = await door.give("GET", url)
        found.append(bundle["entry"][0]["resource"].keys() - {"meta", "id", "resourceType"})
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert links["self"].startswith(f"{door.context.base}/{place}?{query}")
        assert links["self"].count("_cursor") == (len(found) > 1)
        url = links.get("next", "").removeprefix(f"{door.context.base}/")
        assert not url or url.startswith(f"{place}?{query}&_cursor=")
    return found


async def test_self_tells_the_count_that_is_used(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    small = door.with_policy(page_size=5, page_limit=7)
    for asked, used in (
        ("_count=1000", "?_count=7"),
        ("_count=999999999999", "?_count=7"),
        ("", ""),
    ):
        bundle = await small.give("GET", f"Patient/p1/_history?{asked}")
        (link,) = bundle["link"]
        assert link["url"] == f"{door.context.base}/Patient/p1/_history{used}"


async def test_what_could_be_meant_twice_or_cannot_be_is_refused(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    lenient = {"prefer": "handling=lenient"}
    for place, query, headers in itertools.product(PLACES, REFUSED, ({}, lenient)):
        refused = await door.call("GET", f"{place}?{query}", **headers)
        assert refused.status == 400, (place, query)


async def test_a_cursor_comes_once(door):
    for _ in range(3):
        await door.call("PUT", "Patient/p1", patient("p1"))
    bundle = await door.give("GET", "Patient/p1/_history?_count=1")
    further = bundle["link"][1]["url"].removeprefix(f"{door.context.base}/")
    cursor = further.partition("_cursor=")[2]
    assert (await door.call("GET", f"{further}&_cursor={cursor}")).status == 400


async def test_a_read_has_one_summary(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    for url in ("Patient/p1", "Patient/p1/_history/1"):
        assert (await door.call("GET", f"{url}?_summary=text&_summary=false")).status == 400


async def test_a_history_on_one_page_has_its_total(door):
    await lives(door, "p1")
    for place in PLACES:
        assert (await door.give("GET", f"{place}?_count=6"))["total"] == 6
        first = await door.give("GET", f"{place}?_count=5")
        (url,) = [link["url"] for link in first["link"] if link["relation"] == "next"]
        last = await door.give("GET", url.removeprefix(f"{door.context.base}/"))
        assert "total" not in first
        assert ("total" not in last, len(last["entry"])) == (True, 1)
