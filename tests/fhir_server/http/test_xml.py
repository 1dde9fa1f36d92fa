"""XML over the whole server: in, out, in errors and in Bundles: https://hl7.org/fhir/R4/http.html#mime-type"""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from fhir_server import app, asgi
from fhir_server.settings import load
from resources import model
from resources.xml import from_xml, to_xml

JSON = "application/fhir+json"
XML = "application/fhir+xml"
NS = "http://hl7.org/fhir"
BASE = "http://test.example"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">Wt &gt; <b>70</b>&#160;kg</div>'
OBSERVATION = {
    "resourceType": "Observation",
    "id": "w",
    "text": {"status": "generated", "div": DIV},
    "status": "final",
    "code": {"text": "weight"},
    "_effectiveDateTime": {"extension": [{"url": "http://e.example", "valueCode": "unknown"}]},
    "valueQuantity": {"value": "@", "unit": "kg"},
}
RAW = json.dumps(OBSERVATION).replace('"@"', "70.10").encode()
SENT = {"content-type": XML}
WANTED = {"accept": XML}


@pytest.fixture
async def client(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with app.installation(settings, BASE) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url=f"{BASE}/fhir/") as client:
            yield client


def read(response):
    """Give the resource of an XML answer, which must be one."""
    assert response.headers["content-type"] == f"{XML}; charset=utf-8"
    assert response.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert etree.fromstring(response.content).tag.startswith(f"{{{NS}}}")
    return from_xml(response.content)


async def put(client):
    answered = await client.put("Observation/w", content=to_xml(model.parse(RAW)), headers=SENT)
    assert answered.status_code == 201, answered.text
    return answered


async def test_what_is_put_as_xml_is_read_as_json_and_xml(client):
    await put(client)
    as_json = await client.get("Observation/w")
    as_xml = await client.get("Observation/w", headers=WANTED)
    assert as_json.headers["content-type"] == f"{JSON}; charset=utf-8"
    assert b'"value":70.10' in as_json.content
    assert b'<value value="70.10"/>' in as_xml.content
    assert DIV.encode() in as_xml.content
    stored = model.parse(as_json.content)
    assert model.serialise(read(as_xml)) == as_json.content
    assert {**stored, "meta": None} == {**model.parse(RAW), "meta": None}
    for name in ("etag", "last-modified"):
        assert as_json.headers[name] == as_xml.headers[name]
    assert as_json.headers["vary"] == as_xml.headers["vary"]
    assert {"accept", "accept-encoding"} <= set(as_json.headers["vary"].split(", "))


async def test_a_browser_runs_nothing_that_xml_brings(client):
    await put(client)
    answered = await client.get("Observation/w", headers=WANTED)
    assert answered.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answered.headers["x-content-type-options"] == "nosniff"


async def test_create_answers_in_the_format_wanted_whatever_came(client):
    made = await client.post("Observation", content=to_xml(model.parse(RAW)), headers=SENT)
    assert made.status_code == 201
    assert made.json()["resourceType"] == "Observation"
    made = await client.post("Observation", content=RAW, headers={"content-type": JSON, **WANTED})
    assert made.status_code == 201
    assert read(made)["resourceType"] == "Observation"


@pytest.mark.parametrize("wanted", ["xml", "text/xml", "application/xml", "application/fhir%2Bxml"])
async def test_format_is_for_everything_that_is_read(client, wanted):
    await put(client)
    for path in (
        "Observation/w",
        "Observation/w/_history/1",
        "Observation",
        "Observation/w/_history",
    ):
        answered = await client.get(f"{path}?_format={wanted}", headers={"accept": JSON})
        assert answered.status_code == 200
        assert read(answered)["resourceType"] in {"Observation", "Bundle"}


async def test_a_generic_media_type_is_answered_as_it_is_named(client):
    await put(client)
    for wanted in ("application/json", "application/xml", "text/xml"):
        answered = await client.get("Observation/w", headers={"accept": wanted})
        assert answered.headers["content-type"] == f"{wanted}; charset=utf-8"
    answered = await client.get("Observation/w", headers={"accept": f"{XML}; fhirVersion=4.0"})
    assert answered.headers["content-type"] == f"{XML}; fhirVersion=4.0; charset=utf-8"


async def test_pretty_is_for_both_formats(client):
    await put(client)
    as_json = await client.get("Observation/w?_pretty=true")
    as_xml = await client.get("Observation/w?_pretty=true&_format=xml")
    assert b'\n  "resourceType": "Observation"' in as_json.content
    assert b'\n  <id value="w"/>\n' in as_xml.content
    assert DIV.encode() in as_xml.content
    assert b'<value value="70.10"/>' in as_xml.content
    assert model.serialise(read(as_xml)) == model.serialise(model.parse(as_json.content))
    refused = await client.get("Observation/w?_pretty=maybe&_format=xml")
    assert refused.status_code == 400
    assert read(refused)["resourceType"] == "OperationOutcome"


async def test_the_statement_lists_xml_and_is_given_as_xml(client):
    answered = await client.get("metadata", headers=WANTED)
    assert answered.status_code == 200
    statement = read(answered)
    assert {"xml", XML, "json", JSON} <= set(statement["format"])
    assert statement == (await client.get("metadata")).json()


async def test_a_search_bundle_holds_its_resources_in_xml(client):
    await put(client)
    answered = await client.get("Observation?status=final&_summary=false", headers=WANTED)
    root = etree.fromstring(answered.content)
    inside = root.findall("f:entry/f:resource/f:Observation", {"f": NS})
    assert len(inside) == 1
    assert read(answered)["total"] == 1
    posted = await client.post("Observation/_search", data={"status": "final", "_format": "xml"})
    assert read(posted)["total"] == 1


DECIMALS = ["0.00000001", "1E5", "1e2", "1E+05", "1.0e-10", "-0.0", "70.10"]


@pytest.mark.parametrize("sent", [JSON, XML])
async def test_digits_stay_as_they_came_whatever_format_they_came_in(client, sent):
    for n, digits in enumerate(DECIMALS):
        body = RAW.replace(b"70.10", digits.encode()).replace(b'"w"', b'"w%d"' % n)
        if sent == XML:
            body = f"""<Observation xmlns="{NS}"><id value="w{n}"/><status value="final"/>
                <code><text value="weight"/></code>
                <valueQuantity><value value="{digits}"/></valueQuantity></Observation>""".encode()
        made = await client.put(
            f"Observation/w{n}", content=body, headers={"content-type": sent, **WANTED}
        )
        assert made.status_code == 201
        for answered in (made, await client.get(f"Observation/w{n}", headers=WANTED)):
            assert read(answered)["resourceType"] == "Observation"
            assert f'<value value="{digits}"/>' in answered.text
        assert f'"value":{digits}' in (await client.get(f"Observation/w{n}")).text
    for path in ("Observation", "Observation/_history", "Observation?value-quantity=lt1000000"):
        answered = await client.get(path, headers=WANTED)
        assert len(read(answered)["entry"]) == len(DECIMALS)
    found = await client.get("Observation?value-quantity=1e5,100")
    assert found.json()["total"] == len(["1E5", "1e2", "1E+05"])


async def test_a_patch_in_xml_leaves_the_digits_that_it_brings(client):
    await put(client)
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Observation.value.value"},
        {"name": "value", "valueDecimal": "@"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    body = to_xml(model.parse(json.dumps(patch).replace('"@"', "1e-10").encode()))
    assert b'"1e-10"' in body
    patched = await client.patch("Observation/w", content=body, headers={**SENT, **WANTED})
    assert '<value value="1e-10"/>' in patched.text


UNWRITABLE = {"resourceType": "Patient", "id": "odd", "name": [{"text": "a\ufffeb"}]}
"""R4 refuses characters below 32 alone; XML has no character for this one either."""


async def test_what_was_done_is_told_though_xml_has_no_place_for_it(client):
    made = await client.post("Patient", json=UNWRITABLE, headers=WANTED)
    assert made.status_code == 201
    assert made.headers["content-type"].startswith(JSON)
    assert made.json()["name"] == UNWRITABLE["name"]
    place = made.headers["location"].partition("/fhir/")[2].partition("/_history")[0]
    assert made.headers["etag"] == 'W/"1"'
    again = await client.put("Patient/odd?_pretty=true", json=UNWRITABLE, headers=WANTED)
    assert (again.status_code, again.json()["id"]) == (201, "odd")
    assert b'\n  "id": "odd"' in again.content
    patch = [{"op": "add", "path": "/active", "value": True}]
    kind = {"content-type": "application/json-patch+json", **WANTED}
    patched = await client.patch(place, content=json.dumps(patch), headers=kind)
    assert (patched.status_code, patched.json()["active"]) == (200, True)
    one = entry("PUT", "Patient/odd", {**UNWRITABLE, "active": True})
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [one]}
    answered = await client.post("", json=batch, headers=WANTED)
    assert answered.json()["entry"][0]["response"]["status"].startswith("200")
    assert (await client.get("Patient")).json()["total"] == 2


async def test_a_read_that_xml_has_no_place_for_is_406_and_told_in_json_it_is_there(client):
    await client.put("Patient/odd", json=UNWRITABLE)
    for path in ("Patient/odd", "Patient", "Patient/odd/_history"):
        refused = await client.get(path, headers=WANTED)
        assert refused.status_code == 406
        assert read(refused)["issue"][0]["code"] == "not-supported"
        assert (await client.get(path)).status_code == 200
    searched = await client.post("Patient/_search", data={"_format": "xml"})
    assert searched.status_code == 406


async def test_characters_that_r4_forbids_are_refused_as_they_come(client):
    for character in "\x00\x01\x0b\x1f":
        body = {"resourceType": "Patient", "name": [{"text": f"a{character}b"}]}
        refused = await client.post("Patient", json=body)
        assert refused.status_code == 400
        assert refused.json()["issue"][0]["expression"] == ["Patient.name[0].text"]


async def test_a_write_and_a_batch_too_deep_for_xml_are_told_in_json(client):
    item = {"linkId": "0", "type": "string"}
    for n in range(1, 250):
        item = {"linkId": str(n), "type": "group", "item": [item]}
    deep = {"resourceType": "Questionnaire", "status": "draft", "item": [item]}
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [entry("POST", "Questionnaire", deep)],
    }
    for path, body, status in (("Questionnaire", deep, 201), ("", batch, 200)):
        made = await client.post(path, json=body, headers=WANTED)
        assert (made.status_code, made.headers["content-type"].partition(";")[0]) == (status, JSON)
    assert (await client.get("Questionnaire?_summary=count")).json()["total"] == 2


async def test_a_search_over_everything_is_posted_as_a_form(client):
    await put(client)
    for path, data in (
        ("_search", {"_type": "Observation", "_id": "w"}),
        ("Observation/_search", {"_id": "w"}),
        ("Observation//_search/", {"_id": "w"}),
    ):
        posted = await client.post(path, data=data)
        assert (posted.status_code, posted.json().get("total")) == (200, 1), posted.text
    assert (await client.head("_search")).status_code == 405


async def test_what_the_body_of_a_search_says_of_the_form_goes_for_errors_too(client):
    asked = {"_id": "x", "_format": "xml", "bogus": "1"}
    for path in ("Patient/_search", "_search", "Patient/_search?_format=json"):
        refused = await client.post(path, data=asked, headers={"accept": "text/html"})
        assert refused.status_code == 400
        assert "bogus" in read(refused)["issue"][0]["diagnostics"]
    pretty = await client.post("Patient/_search", data={"_id": "x", "_pretty": "true"})
    assert b'\n  "resourceType": "Bundle"' in pretty.content
    assert "_pretty=true" in pretty.json()["link"][0]["url"]
    maybe = await client.post("Patient/_search", data={"_id": "x", "_pretty": "maybe"})
    assert maybe.status_code == 400


async def test_a_number_that_is_too_long_is_told_as_that(client):
    for digits in ("9" * 5000, "1e99999999999999999999", "1e400", "0e-400"):
        body = RAW.replace(b"70.10", digits.encode())
        refused = await client.post("Observation", content=body, headers={"content-type": JSON})
        assert refused.status_code == 400
        assert "A number has more digits" in refused.json()["issue"][0]["diagnostics"]


def bundle(kind, *entries):
    return to_xml({"resourceType": "Bundle", "type": kind, "entry": list(entries)})


def entry(method, url, resource=None, **more):
    held = {"request": {"method": method, "url": url}, **more}
    return held if resource is None else {**held, "resource": resource}


async def test_a_transaction_goes_in_and_out_as_xml(client):
    subject = {"reference": "urn:uuid:11111111-1111-4111-8111-111111111111"}
    body = bundle(
        "transaction",
        entry(
            "POST",
            "Patient",
            {"resourceType": "Patient", "active": True},
            fullUrl=subject["reference"],
        ),
        entry("PUT", "Observation/w", {**model.parse(RAW), "subject": subject}),
        entry("GET", "Observation/w"),
    )
    answered = await client.post("", content=body, headers={**SENT, **WANTED})
    assert answered.status_code == 200, answered.text
    result = read(answered)
    assert result["type"] == "transaction-response"
    assert [e["response"]["status"][:3] for e in result["entry"]] == ["201", "201", "200"]
    stored = (await client.get("Observation/w")).json()
    assert stored["subject"]["reference"].startswith("Patient/")
    assert result["entry"][2]["resource"]["subject"] == stored["subject"]


async def test_a_batch_tells_each_failure_in_xml(client):
    body = bundle("batch", entry("GET", "Patient/none"), entry("GET", "Nonsense/1"))
    answered = await client.post("", content=body, headers={**SENT, **WANTED})
    outcomes = [e["response"]["outcome"] for e in read(answered)["entry"]]
    assert [outcome["resourceType"] for outcome in outcomes] == ["OperationOutcome"] * 2


async def test_the_parameters_of_an_operation_are_read_from_xml(client):
    body = to_xml({"resourceType": "Parameters", "parameter": [{"name": "odd", "valueInteger": 1}]})
    answered = await client.post("ImagingStudy/a/$infer", content=body, headers={**SENT, **WANTED})
    assert answered.status_code == 400
    assert "takes no parameter odd" in read(answered)["issue"][0]["diagnostics"]


async def test_a_large_bundle_is_given_as_xml(client):
    entries = [
        entry("PUT", f"Observation/o{n}", {**model.parse(RAW), "id": f"o{n}"}) for n in range(200)
    ]
    body = bundle("transaction", *entries)
    assert len(body) > 65_536
    answered = await client.post("", content=body, headers={**SENT, **WANTED})
    assert len(read(answered)["entry"]) == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Patient/none", 404),
        ("GET", "Nonsense/1", 404),
        ("GET", "Patient?nonsense=1", 400),
        ("GET", "Patient?%01=1", 400),
        ("GET", "Patient?name=%ff", 400),
        ("POST", "Patient/1", 405),
        ("POST", "Patient", 400),
        ("GET", "Patient/1?_format=html", 406),
    ],
)
async def test_an_error_is_told_in_xml_where_xml_is_wanted(client, method, path, status):
    body = {"content": b"{", "headers": {"content-type": JSON, **WANTED}}
    answered = await client.request(
        method, path, **(body if method == "POST" else {"headers": WANTED})
    )
    assert answered.status_code == status
    if status == 406:
        assert answered.json()["resourceType"] == "OperationOutcome"
    else:
        assert read(answered)["issue"][0]["severity"] == "error"


@pytest.mark.parametrize(
    ("inside", "status", "expression"),
    [
        ('<nonsense value="1"/>', 400, "Patient.nonsense"),
        ('<active value="SECRET"/>', 400, "Patient.active"),
        ('<gender value="SECRET"/>', 422, "Patient.gender"),
        ("<active", 400, "Patient"),
    ],
)
async def test_a_wrong_document_is_refused_at_its_place_without_repeating_it(
    client, inside, status, expression
):
    body = f'<Patient xmlns="{NS}">{inside}</Patient>'.encode()
    refused = await client.post("Patient", content=body, headers={**SENT, **WANTED})
    assert refused.status_code == status
    issue = read(refused)["issue"][0]
    assert issue["expression"] == [expression]
    assert "SECRET" not in refused.text


async def test_a_document_with_entities_reads_no_file(client):
    body = (
        b'<!DOCTYPE Patient [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><name><text value="&e;"/></name></Patient>'
    )
    refused = await client.post("Patient", content=body, headers=SENT)
    assert refused.status_code == 400
    assert "document type" in refused.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "given",
    ["text/plain", "application/xml-patch+xml", f"{XML};charset=latin1", f"{XML};fhirVersion=3.0"],
)
async def test_a_body_that_is_not_read_here_is_415(client, given):
    refused = await client.post("Patient", content=b"<Patient/>", headers={"content-type": given})
    assert refused.status_code == 415
    assert refused.json()["issue"][0]["code"] == "not-supported"


async def test_head_tells_the_length_of_the_xml(client):
    await put(client)
    headers = {**WANTED, "accept-encoding": "identity"}
    whole = await client.get("Observation/w", headers=headers)
    head = await client.head("Observation/w", headers=headers)
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_an_unchanged_resource_is_304_in_either_format(client):
    etag = (await put(client)).headers["etag"]
    answered = await client.get("Observation/w", headers={**WANTED, "if-none-match": etag})
    assert (answered.status_code, answered.content) == (304, b"")


async def test_a_wrong_token_is_told_in_xml(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "smart"}, {}, None)
    async with app.installation(settings, BASE) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url=f"{BASE}/fhir/") as client:
            refused = await client.get("Patient/1", headers=WANTED)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert read(refused)["issue"][0]["code"] == "login"


PIECES = st.sampled_from(
    [
        b"<",
        b"/>",
        b'"',
        b"&",
        b"\x00",
        b"<a/>",
        b"value",
        b"<name>",
        b"</name>",
        b"xmlns",
        b"1",
        b"\xff",
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 20), PIECES), min_size=1, max_size=3))
async def test_mutated_xml_is_stored_or_refused_and_never_a_fault(client, cuts):
    body = to_xml(model.parse(RAW))
    for at, length, piece in cuts:
        body = body[:at] + piece + body[at + length :]
    answered = await client.put("Observation/w", content=body, headers={**SENT, **WANTED})
    assert answered.status_code in {200, 201, 400, 422}
    assert read(answered)["resourceType"] in {"Observation", "OperationOutcome"}
