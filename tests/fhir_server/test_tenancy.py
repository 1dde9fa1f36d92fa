"""Every base by which a tenant is reached is its own, the default tenant's explicit name among them."""

import httpx
import pytest
import pytest_asyncio
from bodies import observation, patient

from fhir_server import app, asgi, tenancy
from fhir_server.settings import load
from smart_auth.realm import realm

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = "https://ehr.example"
"""The public address; requests come to another one, as from a proxy."""
SHORT, EXPLICIT, NORTH = (f"{SITE}{path}/fhir" for path in ("", "/t/default", "/t/north"))
DOORS = [
    ("/fhir", SHORT),
    ("/fhir", EXPLICIT),
    ("/t/default/fhir", SHORT),
    ("/t/default/fhir", EXPLICIT),
    ("/t/north/fhir", NORTH),
]
each_door = pytest.mark.parametrize(("door", "base"), DOORS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory):
    given = {"data": str(tmp_path_factory.mktemp("tenancy")), "auth": "open"}
    settings, _ = load({**given, "public_url": SITE, "unresolved_references": "refuse"}, {}, None)
    async with app.installation(settings, SITE) as house:
        await house.services.documents.put("default", tenancy.TENANTS, "north", b"{}", revision=0)
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            for door in ("/fhir", "/t/north/fhir"):
                body = patient("p", identifier=[{"system": "urn:x", "value": "1"}])
                assert (await client.put(f"{door}/Patient/p", json=body)).status_code == 201
            yield client


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def asks(method, url, resource=None, **more):
    held = {} if resource is None else {"resource": resource}
    return {**held, "request": {"method": method, "url": url}, **more}


async def given(answer):
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


@each_door
async def test_a_reference_by_a_tenants_base_is_relative_and_found(http, door, base):
    made = await given(
        await http.post(f"{door}/Observation", json=observation("any", f"{base}/Patient/p"))
    )
    assert made["subject"]["reference"] == "Patient/p"
    for query in (
        f"Observation?subject={base}/Patient/p",
        "Patient/p/Observation?",
        "Observation?subject.identifier=urn:x|1",
        f"Observation?subject:Patient={base}/Patient/p",
    ):
        found = await given(await http.get(f"{door}/{query}&_id={made['id']}"))
        assert found["total"] == 1, query


@pytest.mark.parametrize(
    ("door", "base"), [("/fhir", NORTH), ("/t/north/fhir", SHORT), ("/t/north/fhir", EXPLICIT)]
)
async def test_another_tenants_base_is_elsewhere(http, door, base):
    made = await given(
        await http.post(f"{door}/Observation", json=observation("any", f"{base}/Patient/p"))
    )
    assert made["subject"]["reference"] == f"{base}/Patient/p"
    answered = await given(
        await http.post(door, json=bundle("batch", asks("GET", f"{base}/Patient/p")))
    )
    assert answered["entry"][0]["response"]["status"].startswith("404")


@each_door
async def test_an_entrys_url_may_begin_with_a_tenants_base(http, door, base):
    sent = bundle("batch", asks("GET", f"{base}/Patient/p"), asks("GET", f"{base}/Patient?_id=p"))
    one, several = (await given(await http.post(door, json=sent)))["entry"]
    assert (one["resource"]["id"], several["resource"]["total"]) == ("p", 1)


@each_door
async def test_full_urls_and_conditions_by_a_tenants_base_lead_to_what_is_here(http, door, base):
    linked = observation("o", f"{base}/Patient/new")
    sent = bundle(
        "transaction",
        asks("PUT", f"{base}/Patient/new", patient("new"), fullUrl=f"{base}/Patient/new"),
        asks("PUT", f"{base}/Observation/o", linked, fullUrl=f"{base}/Observation/o"),
        asks("GET", f"{base}/Observation/o"),
    )
    read = (await given(await http.post(door, json=sent)))["entry"][2]["resource"]
    assert read["subject"]["reference"] == "Patient/new"
    headers = {"If-None-Exist": f"{base}/Patient?identifier=urn:x|1"}
    same = await http.post(f"{door}/Patient", json=patient(None), headers=headers)
    assert (same.status_code, same.json()["id"]) == (200, "p")


@each_door
async def test_what_is_written_out_is_one_base_a_tenant(http, door, base):
    written = NORTH if base == NORTH else SHORT
    read = await http.get(f"{door}/Patient/p/_history")
    assert read.json()["entry"][0]["fullUrl"] == f"{written}/Patient/p"
    made = await http.post(f"{door}/Patient", json=patient(None))
    assert made.headers["location"].startswith(f"{written}/Patient/")


async def test_an_app_may_name_any_base_of_the_tenant_as_the_audience():
    assert [realm(SITE, "default").hears(base) for base in (SHORT, EXPLICIT, NORTH)] == [
        True,
        True,
        False,
    ]
    assert [realm(SITE, "north").hears(base) for base in (SHORT, EXPLICIT, NORTH)] == [
        False,
        False,
        True,
    ]
