"""Pages of a search: links, cursors, and what is written meanwhile (FHIR R4 http.html#paging)."""

import base64
import json

import pytest
from bodies import observation, patient, transaction
from msgspec.structs import replace

from fhir_server.access import Access, Grant
from fhir_server.interactions import pinned
from fhir_server.search.paging import Paging

FORM = "application/x-www-form-urlencoded"
SORTS = ["", "&_sort=family", "&_sort=-birthdate,family", "&_sort=_lastUpdated", "&_sort=-_id"]


def named(number, family, **more):
    return patient(f"p{number}", name=[{"family": family}], **more)


@pytest.fixture
async def people(door):
    born = [{"birthDate": f"19{n % 3}0-01-01"} if n % 3 else {} for n in range(7)]
    first, *rest = [named(n, f"F{n % 4}", **born[n]) for n in range(7)]
    await door.give("PUT", "Patient/p0", first)
    await door.give("POST", "", transaction(*rest))
    return door


def links(bundle):
    return {link["relation"]: link["url"].partition("/fhir/")[2] for link in bundle["link"]}


def ids(bundle):
    return [e["resource"]["id"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]


async def walk(door, url, relation, meanwhile=None):
    """Follow links, and give what each page shows."""
    pages = []
    while url:
        bundle = await door.give("GET", url)
        pages.append(ids(bundle))
        url = links(bundle).get(relation)
        if meanwhile is not None:
            await meanwhile(len(pages))
    return pages


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_go_forwards_and_backwards_alike(people, sort):
    whole = ids(await people.give("GET", f"Patient?_count=50{sort}"))
    first = await people.give("GET", f"Patient?_count=2{sort}")
    assert list(links(first)) == ["self", "next", "first", "last"]
    forwards = await walk(people, f"Patient?_count=2{sort}", "next")
    assert [one for page in forwards for one in page] == whole
    last = links(first)["last"]
    backwards = await walk(people, last, "previous")
    assert [one for page in backwards[::-1] for one in page] == whole
    ending = await people.give("GET", last)
    assert list(links(ending)) == ["self", "previous", "first", "last"]
    assert links(ending)["first"] == links(first)["self"]
    again = links(await people.give("GET", links(ending)["previous"]))["next"]
    assert ids(await people.give("GET", again)) == whole[-2:]


async def test_self_tells_the_page_and_what_was_really_used(people):
    bundle = await people.give("GET", "Patient?_count=2&_sort=family")
    second = links(bundle)["next"]
    assert links(await people.give("GET", second))["self"] == second
    limited = people.with_policy(page_limit=3)
    bundle = await limited.give("GET", "Patient?_count=1000")
    assert links(bundle)["self"] == "Patient?_count=3"
    assert len(ids(bundle)) == 3
    assert len(ids(await limited.give("GET", links(bundle)["next"]))) == 3


@pytest.mark.parametrize("sort", SORTS)
async def test_what_is_written_meanwhile_neither_repeats_nor_hides_anything(people, sort):
    whole = ids(await people.give("GET", f"Patient?_count=50{sort}"))

    async def meanwhile(page):
        if page == 1:
            await people.give("PUT", f"Patient/{whole[0]}", named(whole[0][1:], "Zz"))
            await people.give("PUT", f"Patient/{whole[-1]}", named(whole[-1][1:], "Aa"))
            await people.give("PUT", "Patient/p90", named(90, "F1", birthDate="1915-01-01"))
        if page == 2:
            await people.give("PUT", f"Patient/{whole[5]}", named(whole[5][1:], "Aaa"))
            await people.call("DELETE", f"Patient/{whole[4]}")
            await people.give("PUT", f"Patient/{whole[4]}", named(whole[4][1:], "F3"))

    pages = await walk(people, f"Patient?_count=2{sort}", "next", meanwhile)
    assert [one for page in pages for one in page] == whole


async def test_what_no_longer_matches_is_not_shown(people):
    bundle = await people.give("GET", "Patient?family=f&_count=3&_sort=_id")
    await people.give("PUT", "Patient/p4", named(4, "Other"))
    await people.call("DELETE", "Patient/p5")
    assert ids(await people.give("GET", links(bundle)["next"])) == ["p3", "p6"]


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_write_between_a_page_and_its_pin_is_no_exception(people, monkeypatch, attempts):
    monkeypatch.setattr(pinned, "_ATTEMPTS", attempts)
    store = people.context.services.store
    search = store.search

    async def searched(plan):
        found = await search(plan)
        monkeypatch.setattr(store, "search", search)
        await people.give("PUT", "Patient/p0", named(0, "Zz"))
        return found

    monkeypatch.setattr(store, "search", searched)
    pages = await walk(people, "Patient?_count=2&_sort=family", "next")
    assert sorted(one for page in pages for one in page) == [f"p{n}" for n in range(7)]


async def test_after_very_many_changes_the_unchanged_are_still_shown_once(people, monkeypatch):
    monkeypatch.setattr(pinned, "MOST_CHANGED", 1)
    bundle = await people.give("GET", "Patient?_count=2&_sort=_id")
    for n in (5, 6, 7, 8):
        await people.give("PUT", f"Patient/p{n}", named(n, "New"))
    rest = await walk(people, links(bundle)["next"], "next")
    assert [one for page in rest for one in page] == ["p2", "p3", "p4", "p5", "p6", "p7", "p8"]


async def test_the_pages_of_a_search_by_post_tell_nothing_in_their_urls(people):
    form = b"family=f&_count=3&_sort=-_id"
    bundle = await people.give("POST", "Patient/_search", form, content_type=FORM)
    assert links(bundle)["self"] == "Patient?family=f&_count=3&_sort=-_id"
    assert ids(bundle) == ["p6", "p5", "p4"]
    following = links(bundle)["next"]
    assert following.startswith("Patient?_cursor=")
    assert "family" not in following
    second = await people.give("GET", following)
    assert ids(second) == ["p3", "p2", "p1"]
    assert "family" not in "".join(links(second).values())
    assert ids(await people.give("GET", links(second)["previous"])) == ["p6", "p5", "p4"]
    assert ids(await people.give("GET", links(second)["first"])) == ["p6", "p5", "p4"]
    third = await people.give("GET", links(second)["next"])
    assert ids(third) == ["p0"]
    assert "next" not in links(third)


async def test_the_pages_of_a_very_long_search_have_short_urls(people):
    some = ",".join(f"p{n}" for n in range(1_000))
    form = f"_id={some}&_count=5".encode()
    bundle = await people.give("POST", "Patient/_search", form, content_type=FORM)
    following = links(bundle)["next"]
    assert len(following) < 500
    second = await people.give("GET", following)
    assert sorted(ids(bundle) + ids(second)) == [f"p{n}" for n in range(7)]
    assert ids(await people.give("GET", links(second)["previous"])) == ids(bundle)


async def test_a_cursor_tells_nothing_of_patients(people):
    for id_ in ("aa", "ab"):
        named = patient(id_, name=[{"family": "Aardvark-Featherstonehaugh"}])
        await people.give("PUT", f"Patient/{id_}", named)
    url = "Patient?_count=1&_sort=family&family=aardvark"
    cursor = links(await people.give("GET", url))["next"].partition("_cursor=")[2]
    plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert b"featherstonehaugh" not in plain.lower()
    assert "featherstonehaugh" not in cursor.lower()
    again = links(await people.give("GET", url))["next"]
    assert again.partition("_cursor=")[2] != cursor


async def refusal(door, url):
    """The status and issue code that a request is refused with; a sentence says why."""
    response = await door.call("GET", url)
    issue = json.loads(response.body)["issue"][0]
    assert issue["diagnostics"]
    return response.status, issue["code"]


async def test_a_cursor_is_good_only_where_it_was_given(people):
    url = "Patient?_count=2&_sort=family"
    following = links(await people.give("GET", url))["next"]
    token = following.partition("_cursor=")[2]
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    for bad in (forged, token[:20], "x", "", "%00", f"{token}&_cursor={token}"):
        assert await refusal(people, f"{url}&_cursor={bad}") == (400, "value")
    for other in ("Patient?_count=2&_sort=-family", "Observation?", "?_type=Patient"):
        assert await refusal(people, f"{other}&_cursor={token}") == (400, "value")
    other = people.as_(Access("app", (Grant("*", frozenset("rs"), patient="p1"),)))
    assert await refusal(other, following) == (400, "value")
    elsewhere = type(people)(replace(people.context, tenant="other"))
    assert await refusal(elsewhere, following) == (400, "value")
    assert ids(await people.give("GET", f"{following}&_format=json")) == ["p1", "p5"]


async def test_an_expired_cursor_is_gone(people):
    services = replace(people.context.services, paging=Paging(b"secret", lifetime=3))
    short = type(people)(replace(people.context, services=services))
    following = links(await short.give("GET", "Patient?_count=2"))["next"]
    for _ in range(5):
        services.clock()
    assert await refusal(short, following) == (410, "expired")


@pytest.mark.parametrize("total", ["none", "estimate", "accurate"])
async def test_total_is_told_if_asked_for_or_if_one_page_shows_all(people, total):
    bundle = await people.give("GET", f"Patient?_count=2&_total={total}")
    assert bundle.get("total") == (None if total == "none" else 7)
    second = await people.give("GET", links(bundle)["next"])
    assert second.get("total") == (None if total == "none" else 7)
    assert (await people.give("GET", f"Patient?_total={total}"))["total"] == 7


@pytest.mark.parametrize("url", ["Patient?_count=0", "Patient?_summary=count"])
async def test_a_count_has_no_pages_and_no_resources(people, url):
    bundle = await people.give("GET", url)
    assert bundle["total"] == 7
    assert "entry" not in bundle
    assert set(links(bundle)) == {"self"}


@pytest.mark.parametrize(
    "url",
    ["Patient?_count=1&_count=2", "Patient?_total=none&_total=accurate", "Patient?_count=1.5"],
)
async def test_what_can_be_said_once_is_not_said_twice(people, url):
    assert (await people.call("GET", url)).status == 400


async def test_lenient_handling_tells_what_of_order_and_inclusions_was_ignored(people):
    url = "Patient?nonsense=1&_sort=foo,-_id&_include=Patient:foo&_count=2"
    assert (await people.call("GET", url)).status == 400
    response = await people.call("GET", url, prefer="handling=lenient")
    bundle = json.loads(response.body)
    assert links(bundle)["self"] == "Patient?_sort=-_id&_count=2"
    assert ids(bundle) == ["p6", "p5"]
    outcome = bundle["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert len(outcome["resource"]["issue"]) == 3
    assert {i["severity"] for i in outcome["resource"]["issue"]} == {"warning"}
    counted = await people.call("GET", f"{url}&_summary=count", prefer="handling=lenient")
    assert json.loads(counted.body)["entry"][0]["search"]["mode"] == "outcome"


async def test_pages_of_a_compartment_keep_to_it(people):
    for n in range(4):
        await people.give("PUT", f"Observation/o{n}", observation(f"o{n}", f"Patient/p{n % 2}"))
    pages = await walk(people, "Patient/p1/Observation?_count=1", "next")
    assert sorted(one for page in pages for one in page) == ["o1", "o3"]
