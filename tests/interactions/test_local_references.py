"""Our own base in what is asked for: only references are stored without it (search.html#reference)."""

import pytest
from bodies import observation, patient, transaction

from fhir_server.access import LETTERS, Access, Grant

BASE = "http://test.example/fhir"
URL = f"{BASE}/ValueSet/vs"
SYSTEM = f"{BASE}/sid"


def value_set(id_, **more):
    return {"resourceType": "ValueSet", "id": id_, "status": "active", **more}


def identified(id_, value="1", **more):
    return patient(id_, identifier=[{"system": SYSTEM, "value": value}], **more)


HELD = [
    value_set("vs", url=URL, name=f"{BASE}/x"),
    identified(
        "p", meta={"profile": [f"{BASE}/StructureDefinition/x"], "source": f"{BASE}/Device/1"}
    ),
    patient("q", link=[{"type": "seealso", "other": {"reference": "Patient/p"}}]),
    observation("o", f"{BASE}/Patient/p"),
    observation("by-identifier", "Patient/q"),
    {"resourceType": "Location", "id": "house"},
    {"resourceType": "Location", "id": "room", "partOf": {"reference": f"{BASE}/Location/house"}},
    {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"}}
    | {"location": [{"location": {"reference": "Location/room"}}]},
    {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": {"title": "x"}}],
    }
    | {"relatesTo": [{"code": "appends", "target": {"reference": f"{BASE}/DocumentReference/0"}}]},
    {"resourceType": "List", "id": "l", "status": "current", "mode": "working"}
    | {"entry": [{"item": {"reference": f"{BASE}/Patient/p"}}]},
    {"resourceType": "CarePlan", "id": "c", "status": "active", "intent": "plan"}
    | {"subject": {"reference": "Patient/p"}}
    | {"instantiatesCanonical": [f"{BASE}/PlanDefinition/x|1", "PlanDefinition/y"]},
    {"resourceType": "Bundle", "id": "b", "type": "document"}
    | {"identifier": {"system": SYSTEM, "value": "b"}, "timestamp": "2024-01-01T00:00:00Z"}
    | {
        "entry": [
            {
                "fullUrl": f"{BASE}/Composition/c",
                "resource": {"resourceType": "Composition", "id": "c", "status": "final"}
                | {"type": {"text": "x"}, "date": "2024", "title": "x"}
                | {"author": [{"reference": f"{BASE}/Patient/p"}]},
            }
        ]
    },
]
HELD[4]["subject"]["identifier"] = {"system": SYSTEM, "value": "7"}

FOUND = [
    # values that are stored as they are
    (f"ValueSet?url={URL}", "vs"),
    ("ValueSet?url=ValueSet/vs", ""),
    (f"ValueSet?url:below={BASE}/ValueSet", "vs"),
    (f"ValueSet?url:above={URL}/a", "vs"),
    (f"ValueSet?name:exact={BASE}/x", "vs"),
    (f'ValueSet?_filter=url eq "{URL}"', "vs"),
    (f"Patient?identifier={SYSTEM}|1", "p"),
    ("Patient?identifier=sid|1", ""),
    (f"Patient?_profile={BASE}/StructureDefinition/x", "p"),
    (f"Patient?_source={BASE}/Device/1", "p"),
    (f"Observation?subject:identifier={SYSTEM}|7", "by-identifier"),
    (f"Observation?subject:Patient.identifier={SYSTEM}|1", "o"),
    (f"Patient?_has:Observation:subject:subject:identifier={SYSTEM}|7", "q"),
    # references
    (f"Observation?subject={BASE}/Patient/p", "o"),
    (f"Observation?subject=Patient/p,{BASE}/Patient/q", "o by-identifier"),
    (f"Observation?subject:Patient={BASE}/Patient/p", "o"),
    (f"Observation?subject:Patient.link={BASE}/Patient/p", "by-identifier"),
    (f"Patient?_has:Observation:subject:subject={BASE}/Patient/p", "p"),
    (f"Observation?_filter=subject re {BASE}/Patient/p", "o"),
    (f"Observation?_filter=subject.link re {BASE}/Patient/p", "by-identifier"),
    (f"Encounter?location:below={BASE}/Location/house", "e"),
    (f"DocumentReference?relationship=appends${BASE}/DocumentReference/0", "d"),
    ("DocumentReference?relationship=appends$DocumentReference/0", "d"),
    (
        f"DocumentReference?_filter=relatesTo[code eq appends].target eq {BASE}/DocumentReference/0",
        "d",
    ),
    (f"Patient?_list={BASE}/List/l", "p"),
    (f"Bundle?composition={BASE}/Composition/c", "b"),
    # canonicals that are searched as references
    (f"CarePlan?instantiates-canonical={BASE}/PlanDefinition/x", "c"),
    (f"CarePlan?instantiates-canonical={BASE}/PlanDefinition/x|1", "c"),
    (f"CarePlan?instantiates-canonical:below={BASE}/PlanDefinition/x", "c"),
    ("CarePlan?instantiates-canonical=PlanDefinition/y", "c"),
    ("CarePlan?instantiates-canonical=PlanDefinition/x", ""),
    (f"CarePlan?instantiates-canonical={BASE}/PlanDefinition/y", ""),
    # bases of others: another host, another case, a tenant, what only begins like ours
    ("Observation?subject=http://other.example/fhir/Patient/p", ""),
    ("Observation?subject=HTTP://test.example/fhir/Patient/p", ""),
    ("Observation?subject=http://test.example/t/x/fhir/Patient/p", ""),
    (f"Observation?subject={BASE}x/Patient/p", ""),
]


async def test_only_references_are_looked_for_without_our_base(door):
    assert await (await door.holding(HELD)).astray(FOUND) == []


async def test_the_links_of_a_page_say_what_was_asked(door):
    await door.holding([value_set("vs", url=URL), value_set("vt", url=URL)])
    await door.holding([observation("o", "Patient/p"), observation("p", "Patient/p")])
    for asked in (f"ValueSet?url={URL}", f"Observation?subject={BASE}/Patient/p"):
        first = await door.give("GET", f"{asked}&_count=1")
        links = {link["relation"]: link["url"] for link in first["link"]}
        assert links["self"] == f"{BASE}/{asked}&_count=1"
        assert links["next"].startswith(f"{BASE}/{asked}&_count=1&_cursor=")
        assert len(await door.ids(links["next"].removeprefix(f"{BASE}/"))) == 1


async def test_a_value_set_is_named_by_its_url_before_its_place(door):
    def of(code):
        return {"include": [{"system": "urn:codes", "concept": [{"code": code}]}]}

    asked = f"Observation?code:in={BASE}/ValueSet/here"
    await door.holding([value_set("here", url="http://x.example/a", compose=of("a"))])
    await door.holding([observation("a"), observation("b", code="b")])
    assert await door.ids(asked) == ["a"]
    await door.holding([value_set("there", url=f"{BASE}/ValueSet/here", compose=of("b"))])
    assert await door.ids(asked) == ["b"]


@pytest.mark.parametrize(
    ("type_", "body", "condition"),
    [
        ("ValueSet", {"url": f"{BASE}/ValueSet/vx"}, f"url={BASE}/ValueSet/vx"),
        ("Patient", {"identifier": [{"system": SYSTEM, "value": "2"}]}, f"identifier={SYSTEM}|2"),
    ],
)
async def test_a_condition_finds_what_is_named_below_our_base(door, type_, body, condition):
    made = {"resourceType": type_, "status": "active", **body}
    if type_ == "Patient":
        made.pop("status")

    async def statuses(kind, method, **request):
        entry = {"resource": made, "request": {"method": method, **request}}
        told = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
        answered = await door.give("POST", "", told)
        return answered["entry"][0]["response"]["status"]

    first = await door.call("POST", type_, made, if_none_exist=condition)
    again = await door.call("POST", type_, made, if_none_exist=condition)
    assert (first.status, again.status) == (201, 200)
    for kind in ("batch", "transaction"):
        assert await statuses(kind, "POST", url=type_, ifNoneExist=condition) == "200"
        assert await statuses(kind, "PUT", url=f"{type_}?{condition}") == "200"
    assert (await door.call("PUT", f"{type_}?{condition}", made)).status == 200
    patched = b'[{"op":"add","path":"/language","value":"de"}]'
    kind = {"content_type": "application/json-patch+json"}
    assert (await door.call("PATCH", f"{type_}?{condition}", patched, **kind)).status == 200
    assert len(await door.ids(f"{type_}?{condition}")) == 1
    assert (await door.call("DELETE", f"{type_}?{condition}")).status == 204
    assert await door.ids(type_) == []


async def test_a_conditional_reference_may_name_what_is_below_our_base(door):
    await door.holding([identified("p")])
    await door.give("POST", "", transaction(observation("o", f"Patient?identifier={SYSTEM}|1")))
    stored = await door.give("GET", "Observation/o")
    assert stored["subject"] == {"reference": "Patient/p"}


async def test_the_criteria_of_a_scope_are_read_alike(door):
    await door.holding([observation("o", "Patient/p"), observation("q", "Patient/q")])
    whose = (("subject", f"{BASE}/Patient/p"),)
    caller = door.as_(Access("s", (Grant("Observation", frozenset(LETTERS), query=whose),)))
    assert await caller.ids("Observation") == ["o"]
    assert await caller.ids(f"Observation?subject={BASE}/Patient/q") == []
