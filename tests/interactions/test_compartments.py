"""Every compartment of R4, by every parameter that it names: compartmentdefinition.html."""

import re

import pytest

from fhir_server.access import Access, Grant
from fhir_server.interactions.writing import body
from fhir_server.search.parameters import SearchParameters
from fhir_server.store.port import Change, Key
from resources import definitions

DEFINITIONS = definitions.load()
PARAMETERS = SearchParameters(DEFINITIONS)
SELF = "{def}"
COMPARTMENTS = ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"]


def test_these_are_r4_s_compartments():
    assert sorted(DEFINITIONS.compartments) == COMPARTMENTS


def resource(type_, path, reference):
    """Give a resource that holds a reference at a path such as Appointment.participant.actor."""
    steps = re.sub(r"\.ofType\((\w+)\)", r"\1", path).split(".")[1:]
    made = {"resourceType": type_}
    at, place = made, type_
    for n, step in enumerate(steps):
        element = next(
            e for e in DEFINITIONS.children(place).values() if step in DEFINITIONS.json_names(e)
        )
        inner = {"reference": reference} if n == len(steps) - 1 else {}
        at[step] = inner if element.max == 1 else [inner]
        place = DEFINITIONS.content(place, element, DEFINITIONS.json_names(element)[step])
        at = inner
    return made


def members(compartment):
    """Give type and path of all that places a resource in a compartment."""
    for type_ in sorted(DEFINITIONS.compartments[compartment]):
        for code in DEFINITIONS.compartments[compartment][type_]:
            if code != SELF:
                parameter = PARAMETERS.get(type_, code)
                assert parameter is not None, (type_, code)
                assert parameter.atoms
                yield from ((type_, atom.name) for atom in parameter.atoms)


def changes(compartment):
    """Give resources in compartment x by each path, as many in y, and what is in none."""
    places = sorted(set(members(compartment)))
    for n, (type_, path) in enumerate(places):
        for id_ in ("x", "y"):
            yield change(f"{id_}{n}", resource(type_, path, f"{compartment}/{id_}"))
    for type_ in sorted({type_ for type_, _ in places}):
        yield change("nowhere", {"resourceType": type_})
    for id_ in ("x", "y"):
        yield change(id_, {"resourceType": compartment})


def change(id_, made):
    made = {**made, "id": id_}
    key = Key("default", made["resourceType"], id_)
    return Change(key, "PUT", body(made), PARAMETERS.values(made))


@pytest.mark.parametrize("compartment", COMPARTMENTS)
async def test_a_compartment_holds_what_each_of_its_parameters_leads_to(door, compartment):
    written = list(changes(compartment))
    for n in range(0, len(written), 100):
        await door.context.services.store.commit(written[n : n + 100])
    expected = {}
    for one in written:
        mine = one.key.id.startswith("x")
        expected.setdefault(one.key.type, set()).update({one.key.id} if mine else ())
    for type_, found in expected.items():
        assert set(await door.ids(f"{compartment}/x/{type_}?_count=100")) == found, type_
    every = {f"{type_}/{id_}" for type_, found in expected.items() for id_ in found}
    bundle = await door.give("GET", f"{compartment}/x/*?_count=1000")
    urls = [e["fullUrl"].partition("/fhir/")[2] for e in bundle["entry"]]
    assert len(urls) == len(every) == bundle["total"]
    assert set(urls) == every
    some = sorted(expected)[:2]
    chosen = await door.give("GET", f"{compartment}/x/*?_type={','.join(some)}&_count=1000")
    assert {e["resource"]["resourceType"] for e in chosen["entry"]} <= set(some)
    assert chosen["total"] == sum(len(expected[type_]) for type_ in some)


async def test_a_search_in_a_compartment_keeps_to_the_token_and_the_types(door):
    await door.context.services.store.commit(list(changes("RelatedPerson")))
    mine = door.as_(Access("app", (Grant("Observation", frozenset("rs")),)))
    bundle = await mine.give("GET", "RelatedPerson/x/*")
    assert {e["resource"]["resourceType"] for e in bundle["entry"]} == {"Observation"}
    assert (await mine.call("GET", "RelatedPerson/x/Claim")).status == 403
    assert await door.ids("RelatedPerson/x/Medication") == []
    assert (await door.call("GET", "Organization/x/Observation")).status == 404
    assert (await door.call("GET", "RelatedPerson/x/Nonsense")).status == 404


async def test_a_search_over_the_system_takes_what_all_its_types_have(door):
    await door.context.services.store.commit(list(changes("RelatedPerson")))
    assert {*await door.ids("?_type=Claim,Observation&_id=x0,x1,x2,x3,y0,nowhere")}
    url = "?_type=Claim,Observation&_count=3&_sort=-_id"
    bundle = await door.give("GET", url)
    assert len(bundle["entry"]) == 3
    assert bundle["link"][0]["url"].endswith(url)
    assert (await door.call("GET", "?_type=Claim,Observation&combo-code=a")).status == 400
    assert (await door.call("GET", "?_type=Claim,Nonsense")).status in {400, 404}
