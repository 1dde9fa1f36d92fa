"""The OpenAPI document: all that is offered, nothing else, and every URL of it is answered."""

import json
import re
from html.parser import HTMLParser

import httpx
import pytest

from fhir_server.app import installation
from fhir_server.asgi import application
from fhir_server.settings import load

VALUES = {"type": "Patient", "compartment": "Patient", "id": "x", "version": "1", "job": "x"}


@pytest.fixture
async def client(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with installation(settings, "http://x") as house:
        transport = httpx.ASGITransport(application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            yield client


async def test_each_url_and_method_is_answered_as_an_interaction(client):
    document = (await client.get("/openapi.json")).json()
    refused = []
    for path, item in document["paths"].items():
        url = "/fhir" + re.sub(r"\{(\w+)\}", lambda found: VALUES[found[1]], path)
        for method in item.keys() - {"parameters"}:
            body = item[method].get("requestBody", {}).get("content", {})
            headers = {"content-type": next(iter(body))} if body else {}
            answer = await client.request(method.upper(), url, content=b"", headers=headers)
            told = answer.text
            if answer.status_code in {405, 500} or "Nothing has this URL" in told:
                refused.append((method, path, answer.status_code))
            if "no such operation" in told:
                refused.append((method, path, told))
    assert refused == []


async def test_what_the_capability_statement_offers_has_a_path(client):
    document = (await client.get("/openapi.json")).json()
    statement = (await client.get("/fhir/metadata")).json()["rest"][0]
    tags = {
        o["tags"][0]
        for item in document["paths"].values()
        for m, o in item.items()
        if m != "parameters"
    }
    offered = {i["code"] for i in statement["interaction"]} - {"transaction"}
    offered |= {i["code"] for i in statement["resource"][0]["interaction"]}
    assert offered <= tags
    named = {
        o["name"]
        for place in [statement, *statement["resource"]]
        for o in place.get("operation", [])
    }
    assert {path.rpartition("$")[2] for path in document["paths"] if "$" in path} == named


async def test_it_is_a_document_of_a_size_and_its_references_lead_somewhere(client):
    answer = await client.get("/openapi.json")
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    assert len(answer.content) < 100_000
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', answer.text.replace(" ", "")):
        found = document
        for step in reference.split("/"):
            found = found[step]
    assert len(document["components"]["schemas"]["type"]["enum"]) == 146
    ids = [(m, p) for p, i in document["paths"].items() for m in i if m != "parameters"]
    assert len(ids) == len(set(ids))


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [v for n, v in attributes if n in {"src", "href", "srcset", "action"}]


async def test_the_page_needs_nothing_from_elsewhere(client):
    page = await client.get("/docs")
    links = Links()
    links.feed(page.text)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert sorted(links.found) == ["http://x/fhir/metadata", "openapi.json"]
    assert "url(" not in page.text
    assert "/{type}/{id}" in page.text


async def test_with_smart_a_token_is_said_to_be_needed(tmp_path):
    settings, _ = load({"data": str(tmp_path)}, {}, None)
    async with installation(settings, "http://x") as house:
        document = house.statements.openapi("http://x/fhir")
        json.dumps(document)
    assert document["security"] == [{"smart": []}]
    assert document["components"]["securitySchemes"]["smart"]["scheme"] == "bearer"
