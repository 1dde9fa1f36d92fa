"""Behind nginx, by https and another host name: every absolute URL is the public one."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from dicomweb import ct
from proxy import NGINX, Proxy
from served import ROOT, Served

PUBLIC = "https://ris.example"


def token(data):
    command = [sys.executable, "-m", "fhir_server", "token", "--scope", "system/*.cruds"]
    ran = subprocess.run(
        [*command, "--data", str(data)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A server behind nginx, and a client with a token that reaches it by its public name only."""
    assert NGINX, "nginx is missing: make servers installs it"
    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("nginx")
    served = Served(data, "--public-url", PUBLIC, "--trusted-proxies", "127.0.0.1/32", auth="smart")
    proxy = Proxy(folder, "ris.example", served.port)
    with proxy.client(Authorization=f"Bearer {token(data)}") as client:
        yield SimpleNamespace(client=client, place=proxy.place, served=served)
    proxy.stop()
    assert served.stop() == 0


def strings(value):
    """Give every text in a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def public_only(answer):
    """Check that no answer gives away where the server really is."""
    told = answer.text + json.dumps(dict(answer.headers))
    assert "127.0.0.1" not in told
    assert "localhost" not in told
    return answer


def test_the_ready_line_tells_the_public_address(public):
    assert public.served.base == f"{PUBLIC}/fhir"


def test_location_and_paging_can_be_followed(public):
    for family in "ABC":
        body = {"resourceType": "Patient", "name": [{"family": family}]}
        made = public_only(public.client.post("/fhir/Patient", json=body))
        assert made.status_code == 201
        assert public.client.get(public.place(made.headers["Location"])).status_code == 200
    seen, url = [], f"{PUBLIC}/fhir/Patient?_count=2&_sort=family"
    while url:
        page = public_only(public.client.get(public.place(url))).json()
        seen += [e["resource"]["name"][0]["family"] for e in page["entry"]]
        assert all(e["fullUrl"].startswith(f"{PUBLIC}/fhir/Patient/") for e in page["entry"])
        url = next((l["url"] for l in page["link"] if l["relation"] == "next"), None)
    assert seen == ["A", "B", "C"]
    history = public_only(public.client.get("/fhir/Patient/_history")).json()
    assert history["link"][0]["url"].startswith(f"{PUBLIC}/fhir/Patient/_history")


def test_a_reference_by_the_public_address_is_one_of_ours(public):
    public.client.put("/fhir/Patient/p", json={"resourceType": "Patient", "id": "p"})
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/p"},
    }
    assert public.client.post("/fhir/Observation", json=observation).status_code == 201
    found = public.client.get("/fhir/Observation", params={"subject": f"{PUBLIC}/fhir/Patient/p"})
    assert found.json()["total"] == 1


def test_what_apps_discover_is_public(public):
    paths = ["/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration"]
    for path in paths:
        found = public_only(public.client.get(path)).json()
        urls = [text for text in strings(found) if text.startswith("http")]
        assert urls
        assert [u for u in urls if not u.startswith((PUBLIC, "http://hl7.org"))] == []
    statement = public_only(public.client.get("/fhir/metadata")).json()
    assert statement["implementation"]["url"] == f"{PUBLIC}/fhir"


def test_the_status_of_what_is_answered_later_is_public(public):
    later = public_only(public.client.get("/fhir/Patient", headers={"Prefer": "respond-async"}))
    assert later.status_code == 202
    place = public.place(later.headers["Content-Location"])
    until = time.monotonic() + 30
    while (polled := public.client.get(place)).status_code == 202 and time.monotonic() < until:
        time.sleep(0.05)
    assert public_only(polled).status_code == 200


def test_retrieve_urls_of_images_are_public_and_work(public):
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    stored = public_only(
        public.client.post(
            "/dicom-web/studies",
            content=head + ct() + b"\r\n--b--\r\n",
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
        )
    )
    assert stored.status_code == 200, stored.text
    study = stored.json()["00081190"]["Value"][0]
    assert study.startswith(f"{PUBLIC}/dicom-web/studies/")
    metadata = public_only(public.client.get(public.place(study) + "/metadata"))
    assert metadata.status_code == 200
    found = public_only(public.client.get("/dicom-web/studies")).json()
    assert [one["00081190"]["Value"][0] for one in found] == [study]
    endpoints = public_only(public.client.get("/fhir/Endpoint")).json()["entry"]
    assert [e["resource"]["address"] for e in endpoints] == [f"{PUBLIC}/dicom-web"]


def test_the_pages_are_reached_without_a_way_past_the_proxy(public):
    page = public_only(public.client.get("/", follow_redirects=False))
    assert page.status_code in {200, 302, 303, 307}
    assert page.headers.get("location", PUBLIC).startswith((PUBLIC, "/"))
