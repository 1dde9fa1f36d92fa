"""Search: parameters, modifiers, chains, includes, sort, pages: search.html."""

import json

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant


@pytest.fixture
async def people(door):
    """Three patients, a practitioner, and their observations."""
    await door.give(
        "PUT",
        "Practitioner/d1",
        {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "House"}]},
    )
    rows = [
        ("p1", "Müller-Lüdenscheidt", "1970-05-01", "female"),
        ("p2", "Muller", "1980", "male"),
        ("p3", "O'Neil, Jr", "1990-12-24", None),
    ]
    for id_, family, birth, gender in rows:
        body = patient(
            id_,
            name=[{"family": family, "given": ["Anna", "Maria"]}],
            birthDate=birth,
            identifier=[{"system": "urn:mrn", "value": f"M|{id_}"}],
            generalPractitioner=[{"reference": "Practitioner/d1"}],
        )
        await door.give(
            "PUT", f"Patient/{id_}", body if gender is None else {**body, "gender": gender}
        )
    for n, (subject, code, when) in enumerate(
        [
            ("p1", "a", "2020-01-01"),
            ("p1", "b", "2021-06-15T10:00:00Z"),
            ("p2", "a", "2022"),
            ("p3", "c", None),
        ]
    ):
        body = observation(f"o{n}", f"Patient/{subject}", code)
        await door.give(
            "PUT",
            f"Observation/o{n}",
            body if when is None else {**body, "effectiveDateTime": when},
        )
    return door


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Patient?family=mull", {"p1", "p2"}),
        ("Patient?family=MÜLL", {"p1", "p2"}),
        ("Patient?family=uller", set()),
        ("Patient?family:contains=uller", {"p1", "p2"}),
        ("Patient?family:exact=Muller", {"p2"}),
        ("Patient?family:exact=muller", set()),
        ("Patient?name=maria", {"p1", "p2", "p3"}),
        (r"Patient?family=O'Neil\, Jr", {"p3"}),
        ("Patient?family=mull,o'neil", {"p1", "p2", "p3"}),
        ("Patient?family=mull&gender=male", {"p2"}),
        ("Patient?gender=male,female", {"p1", "p2"}),
        ("Patient?gender:not=male", {"p1", "p3"}),
        ("Patient?gender:missing=true", {"p3"}),
        ("Patient?gender:missing=false", {"p1", "p2"}),
        (r"Patient?identifier=urn:mrn|M\|p1", {"p1"}),
        (r"Patient?identifier=M\|p1", {"p1"}),
        ("Patient?identifier=urn:mrn|", {"p1", "p2", "p3"}),
        (r"Patient?identifier=|M\|p1", set()),
        ("Patient?birthdate=1980", {"p2"}),
        ("Patient?birthdate=1970-05", {"p1"}),
        ("Patient?birthdate=ge1980", {"p2", "p3"}),
        ("Patient?birthdate=gt1980", {"p3"}),
        ("Patient?birthdate=lt1980-06-01", {"p1", "p2"}),
        ("Patient?birthdate=ge1975&birthdate=lt1985", {"p2"}),
        ("Patient?birthdate=sa1985", {"p3"}),
        ("Patient?birthdate=eb1980", {"p1"}),
        ("Patient?birthdate=ne1980", {"p1", "p3"}),
        ("Patient?_id=p1,p3", {"p1", "p3"}),
        ("Patient?_id=p1&_id=p3", set()),
        ("Patient?_lastUpdated=gt2000-01-01", {"p1", "p2", "p3"}),
        ("Patient?_lastUpdated=lt2000-01-01", set()),
        ("Patient?general-practitioner=Practitioner/d1", {"p1", "p2", "p3"}),
        ("Patient?general-practitioner:Practitioner.name=house", {"p1", "p2", "p3"}),
        ("Patient?_has:Observation:patient:code=b", {"p1"}),
        ("Patient?_has:Observation:subject:code=urn:codes|a", {"p1", "p2"}),
        ("Observation?subject=Patient/p1", {"o0", "o1"}),
        ("Observation?patient=p1", {"o0", "o1"}),
        ("Observation?subject:Patient=p1", {"o0", "o1"}),
        ("Observation?subject=http://test.example/fhir/Patient/p1", {"o0", "o1"}),
        ("Observation?subject:Patient.family=mull", {"o0", "o1", "o2"}),
        ("Observation?patient.birthdate=1980", {"o2"}),
        ("Observation?patient.general-practitioner.name=house&code=c", {"o3"}),
        ("Observation?code=a&date=ge2021", {"o2"}),
        ("Observation?code=urn:codes|b", {"o1"}),
        ("Observation?code=|b", set()),
        ("Observation?date:missing=true", {"o3"}),
        ("Observation?status=final", {"o0", "o1", "o2", "o3"}),
        ("Patient/p1/Observation", {"o0", "o1"}),
        ("Patient/p1/Observation?code=b", {"o1"}),
    ],
)
async def test_a_search_finds_what_the_specification_says(people, url, found):
    assert set(await people.ids(url)) == found


@pytest.mark.parametrize(
    ("url", "order"),
    [
        ("Patient?_sort=birthdate", ["p1", "p2", "p3"]),
        ("Patient?_sort=-birthdate", ["p3", "p2", "p1"]),
        ("Patient?_sort=_id", ["p1", "p2", "p3"]),
        ("Patient?_sort=-_id", ["p3", "p2", "p1"]),
        ("Patient?_sort=-_lastUpdated", ["p3", "p2", "p1"]),
        ("Patient?_sort=gender,-_id", ["p1", "p2", "p3"]),
        ("Observation?_sort=-date", ["o2", "o1", "o0", "o3"]),
        ("Observation?_sort=date", ["o0", "o1", "o2", "o3"]),
        ("Observation?code=a&_sort=-date", ["o2", "o0"]),
    ],
)
async def test_sort_is_total_and_puts_the_missing_last(people, url, order):
    assert await people.ids(url) == order
    paged, following = [], f"{url}&_count=1"
    while following:
        bundle = await people.give("GET", following)
        paged += [e["resource"]["id"] for e in bundle.get("entry", [])]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        following = links.get("next", "").partition("/fhir/")[2]
    assert paged == order


@pytest.mark.parametrize(
    "url",
    [
        "Patient?nonsense=1",
        "Patient?family:nonsense=1",
        "Patient?gender:exact=male",
        "Patient?birthdate=yesterday",
        "Patient?birthdate=zz1980",
        "Patient?family=",
        "Patient?gender=a,,b",
        "Patient?_count=-1",
        "Patient?_count=many",
        "Patient?_sort=nonsense",
        "Patient?_include=Patient:nonsense",
        "Patient?_cursor=forged",
        "Patient?family.name=x",
        "Observation?subject:Practitioner.name=x",
        "Patient?_has:Observation:nonsense:code=b",
        "Patient?_has:Observation:subject:nonsense=b",
        "Patient?_query=x",
        "Patient?_contained=true",
        "Patient?gender:missing=maybe",
        "Patient?identifier=a|b|c",
    ],
)
async def test_what_is_not_offered_is_refused_not_ignored(people, url):
    response = await people.call("GET", url)
    assert response.status == 400
    assert json.loads(response.body)["issue"][0]["diagnostics"]


async def test_lenient_handling_ignores_the_unknown_and_says_so(people):
    response = await people.call("GET", "Patient?nonsense=1&gender=male", prefer="handling=lenient")
    bundle = json.loads(response.body)
    modes = [e["search"]["mode"] for e in bundle["entry"]]
    assert modes == ["match", "outcome"]
    assert "nonsense" not in bundle["link"][0]["url"]


async def test_include_adds_each_resource_once_and_count_counts_matches(people):
    bundle = await people.give("GET", "Observation?code=a,b&_include=Observation:subject&_count=10")
    found = [(e["search"]["mode"], e["resource"]["id"]) for e in bundle["entry"]]
    assert {i for m, i in found if m == "include"} == {"p1", "p2"}
    assert len(found) == 5
    assert bundle["total"] == 3


async def test_iterate_goes_on_from_what_was_included(people):
    url = "Observation?code=b&_include=Observation:subject&_include:iterate=Patient:general-practitioner"
    bundle = await people.give("GET", url)
    assert [e["resource"]["id"] for e in bundle["entry"]] == ["o1", "p1", "d1"]


async def test_revinclude_brings_what_refers_to_the_matches(people):
    bundle = await people.give("GET", "Patient?_id=p1&_revinclude=Observation:subject")
    assert {e["resource"]["id"] for e in bundle["entry"]} == {"p1", "o0", "o1"}


async def test_includes_and_chains_stay_within_the_token(people):
    access = Access("app", (Grant("Observation", frozenset("rs"), patient="p1"),))
    mine = people.as_(access)
    bundle = await mine.give("GET", "Observation?_include=Observation:subject")
    assert {e["resource"]["id"] for e in bundle["entry"]} == {"o0", "o1"}
    assert await mine.ids("Observation?subject:Patient.family=mull") == []


async def test_count_zero_and_summary_count_give_the_total_alone(people):
    for url in ("Observation?_count=0", "Observation?_summary=count"):
        bundle = await people.give("GET", url)
        assert bundle["total"] == 4
        assert "entry" not in bundle


async def test_search_by_post_takes_a_form(people):
    form = b"family=mull&_sort=_id"
    kind = "application/x-www-form-urlencoded"
    bundle = await people.give("POST", "Patient/_search", form, content_type=kind)
    assert [e["resource"]["id"] for e in bundle["entry"]] == ["p1", "p2"]


async def test_a_cursor_is_bound_to_its_search_and_caller(people):
    bundle = await people.give("GET", "Observation?_count=1")
    cursor = bundle["link"][1]["url"].partition("_cursor=")[2]
    assert (await people.call("GET", f"Observation?_count=1&_cursor={cursor}")).status == 200
    assert (await people.call("GET", f"Observation?code=a&_cursor={cursor}")).status == 400
    other = people.as_(Access("app", (Grant("*", frozenset("rs"), patient="p1"),)))
    assert (await other.call("GET", f"Observation?_count=1&_cursor={cursor}")).status == 400


async def test_a_deleted_resource_is_not_found(people):
    await people.call("DELETE", "Observation/o0")
    assert await people.ids("Observation?code=a") == ["o2"]


async def test_an_update_moves_a_resource_in_the_index(people):
    await people.give("PUT", "Observation/o0", observation("o0", "Patient/p2", "z"))
    assert await people.ids("Observation?code=z") == ["o0"]
    assert await people.ids("Observation?subject=Patient/p1") == ["o1"]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("?_type=Patient,Practitioner", {"p1", "p2", "p3", "d1"}),
        ("?_type=Patient,Practitioner&name=mull,house", {"p1", "p2", "d1"}),
        ("?_id=p1", {"p1"}),
        ("Patient/p1/*", {"p1", "o0", "o1"}),
        ("Patient/p1/*?_type=Observation", {"o0", "o1"}),
    ],
)
async def test_several_types_are_searched_at_once(people, url, found):
    assert set(await people.ids(url)) == found
    paged, following = [], url + ("&" if "?" in url else "?") + "_count=1"
    while following:
        bundle = await people.give("GET", following)
        paged += [e["resource"]["id"] for e in bundle.get("entry", [])]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        following = links.get("next", "").partition("/fhir")[2].lstrip("/")
    assert len(paged) == len(found)
    assert set(paged) == found


async def test_a_search_over_types_keeps_to_the_token(people):
    mine = people.as_(Access("app", (Grant("Observation", frozenset("rs"), patient="p1"),)))
    assert set(await mine.ids("?_id=o0,o2,p1")) == {"o0"}
    assert (await mine.call("GET", "?_type=Patient")).status == 403
    assert set(await mine.ids("Patient/p1/*")) == {"o0", "o1"}


@pytest.mark.parametrize(
    "url", ["?_type=Nonsense", "?_type=Patient,Observation&family=x", "?_type=Patient&code=x"]
)
async def test_types_that_do_not_fit_are_refused(people, url):
    assert (await people.call("GET", url)).status in {400, 404}


async def test_links_keep_the_format_that_was_asked_for(people):
    bundle = await people.give("GET", "Patient?_count=1&_format=json&_pretty=true")
    assert all("_format=json&_pretty=true" in link["url"] for link in bundle["link"])
    following = bundle["link"][1]["url"].partition("/fhir/")[2]
    assert len((await people.give("GET", following))["entry"]) == 1
