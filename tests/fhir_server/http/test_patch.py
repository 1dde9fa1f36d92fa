"""PATCH over HTTP: media types, both patches, what is claimed of them."""

import httpx
import pytest

from fhir_server import app, asgi
from fhir_server.settings import load
from resources.model import serialise
from resources.xml import to_xml

PATIENT = {"resourceType": "Patient", "id": "p1", "active": True}
GENDER = [{"op": "add", "path": "/gender", "value": "male"}]
ADD = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "Patient"},
                {"name": "name", "valueString": "gender"},
                {"name": "value", "valueCode": "male"},
            ],
        }
    ],
}


@pytest.fixture
async def client(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with app.installation(settings, "http://test.example", serving=True) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
            await client.put("/fhir/Patient/p1", json=PATIENT)
            yield client


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json-patch+json", serialise(GENDER)),
        ("application/json-patch+json; charset=utf-8", serialise(GENDER)),
        ("application/fhir+json", serialise(ADD)),
        ("application/json", serialise(ADD)),
        ("application/fhir+xml", to_xml(ADD)),
    ],
)
async def test_each_form_of_patch_is_read(client, kind, body):
    answered = await client.patch("/fhir/Patient/p1", content=body, headers={"content-type": kind})
    assert (answered.status_code, answered.headers["etag"]) == (200, 'W/"2"')
    assert answered.json()["gender"] == "male"


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", '"UTF-16"'])
async def test_a_patch_in_another_character_set_is_415(client, charset):
    kind = f"application/json-patch+json; charset={charset}"
    answered = await client.patch(
        "/fhir/Patient/p1", content=serialise(GENDER), headers={"content-type": kind}
    )
    assert answered.status_code == 415
    assert "UTF-8" in answered.json()["issue"][0]["diagnostics"]
    form = {"content-type": f"application/x-www-form-urlencoded; charset={charset}"}
    answered = await client.post("/fhir/Patient/_search", content=b"_id=p1", headers=form)
    assert answered.status_code == 415


async def test_an_xml_patch_is_refused_with_what_to_send_instead(client):
    headers = {"content-type": "application/xml-patch+xml"}
    answered = await client.patch("/fhir/Patient/p1", content=b"<diff/>", headers=headers)
    assert answered.status_code == 415
    assert "JSON Patch" in answered.json()["issue"][0]["diagnostics"]


async def test_a_json_patch_is_no_body_of_an_update(client):
    headers = {"content-type": "application/json-patch+json"}
    answered = await client.put("/fhir/Patient/p1", content=serialise(GENDER), headers=headers)
    assert answered.status_code == 415


async def test_a_parameter_that_a_patch_does_not_take_is_refused(client):
    headers = {"content-type": "application/json-patch+json"}
    answered = await client.patch(
        "/fhir/Patient/p1?_count=1", content=serialise(GENDER), headers=headers
    )
    assert answered.status_code == 400


async def test_what_is_claimed_of_patches_is_what_is_read(client):
    statement = (await client.get("/fhir/metadata")).json()
    assert statement["patchFormat"] == [
        "application/json-patch+json",
        "application/fhir+json",
        "application/fhir+xml",
    ]
    for resource in statement["rest"][0]["resource"]:
        patched = {"code": "patch"} in resource["interaction"]
        assert patched == (resource["type"] != "AuditEvent"), "the audit trail is never altered"
