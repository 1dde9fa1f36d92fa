"""_sort by every type of parameter, by several, by parameters of what is referred to: search.html#sort."""

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant


@pytest.fixture
async def sorted_out(door):
    """Five observations of three patients, one of whom is nobody here."""
    resources = []
    people = [("p1", "Zimmer", "1950-01-01"), ("p2", "Adler", "1980-01-01"), ("p3", None, None)]
    for id_, family, born in people:
        body = patient(id_, name=[{"family": family}] if family else [])
        body = {name: value for name, value in body.items() if value}
        resources.append({**body, "birthDate": born} if born else body)
    rows = [
        ("o1", "p1", 5, "b", "note b", ["Patient/p1"]),
        ("o2", "p2", 3, "a", None, ["Patient/p2", "Patient/p1"]),
        ("o3", "p3", None, "c", "note a", []),
        ("o4", "p2", 9, "a", None, []),
        ("o5", "gone", 1, "d", "note c", []),
    ]
    for id_, subject, value, code, text, performers in rows:
        more = {"performer": [{"reference": p} for p in performers]} if performers else {}
        if value is not None:
            more["valueQuantity"] = {"value": value, "unit": "mg"}
        elif text:
            more["valueString"] = text
        resources.append(observation(id_, f"Patient/{subject}", code, **more))
    for one in resources:
        await door.give("PUT", f"{one['resourceType']}/{one['id']}", one)
    return door


SORTS = [
    ("code", "o2 o4 o1 o3 o5"),
    ("code,-_id", "o4 o2 o1 o3 o5"),
    ("-value-quantity", "o4 o1 o2 o5 o3"),
    ("value-quantity", "o5 o2 o1 o4 o3"),
    ("value-string,_id", "o3 o1 o2 o4 o5"),
    ("subject,_id", "o5 o1 o2 o4 o3"),
    ("-subject,_id", "o3 o2 o4 o1 o5"),
    ("patient.family,_id", "o2 o4 o1 o3 o5"),
    ("-patient.family,_id", "o1 o2 o4 o3 o5"),
    ("subject:Patient.family,-_id", "o4 o2 o1 o5 o3"),
    ("patient.birthdate,_id", "o1 o2 o4 o3 o5"),
    ("-patient.birthdate,-_id", "o4 o2 o1 o5 o3"),
    ("performer:Patient.family,_id", "o2 o1 o3 o4 o5"),
    ("-performer:Patient.family,_id", "o1 o2 o3 o4 o5"),
    ("patient.family,-value-quantity", "o4 o2 o1 o5 o3"),
    ("-_lastUpdated", "o5 o4 o3 o2 o1"),
]


@pytest.mark.parametrize(("sort", "order"), SORTS)
async def test_sorts_are_total_on_every_page_and_what_has_no_value_comes_last(
    sorted_out, sort, order
):
    url = f"Observation?_sort={sort}"
    assert await sorted_out.ids(url) == order.split()
    paged, following = [], f"{url}&_count=2"
    while following:
        bundle = await sorted_out.give("GET", following)
        paged += [e["resource"]["id"] for e in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        following = links.get("next", "").partition("/fhir/")[2]
    assert paged == order.split()
    found, following = [], links["last"].partition("/fhir/")[2]
    while following:
        bundle = await sorted_out.give("GET", following)
        found = [e["resource"]["id"] for e in bundle["entry"]] + found
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        following = links.get("previous", "").partition("/fhir/")[2]
    assert found == order.split()


async def test_several_types_are_sorted_by_what_some_of_them_have(sorted_out):
    url = "?_type=Observation,Patient&_id=p1,p2,o1,o4&_sort=birthdate,_id"
    assert await sorted_out.ids(url) == ["p1", "p2", "o1", "o4"]


@pytest.mark.parametrize(
    "sort",
    [
        "_score",
        "nonsense",
        "",
        "code,",
        "--code",
        "code.family",
        "patient.nonsense",
        "patient._id",
        "patient:Group.family",
        "subject:Device.family",
        "patient.general-practitioner.name",
        "_text",
        "code-value-quantity",
    ],
)
async def test_what_nothing_can_be_sorted_by_is_refused(sorted_out, sort):
    assert (await sorted_out.call("GET", f"Observation?_sort={sort}")).status == 400


async def test_an_order_tells_nothing_of_what_is_out_of_reach(sorted_out):
    grants = (Grant("Observation", frozenset("rs")), Grant("Patient", frozenset("rs"), "p1"))
    mine = sorted_out.as_(Access("app", grants))
    assert await mine.ids("Observation?_sort=patient.family,_id") == ["o1", "o2", "o3", "o4", "o5"]
    blind = sorted_out.as_(Access("app", grants[:1]))
    assert await blind.ids("Observation?_sort=-patient.family,-_id") == [
        "o5",
        "o4",
        "o3",
        "o2",
        "o1",
    ]
