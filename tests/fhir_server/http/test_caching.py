"""What a browser keeps of the answers: nothing that it gives again without asking (RFC 9111 4.2.2, 5.2.2)."""

import asyncio
import json

import chromium
import httpx
import pytest
import small_study
from served import Served

from fhir_server import app
from fhir_server.access import everything
from fhir_server.app.clock import now
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from smart_auth.keys import KeyRing
from smart_auth.operator_token import OperatorToken, mint

PATIENT = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Example"}]}
MONTH_MS = 30 * 24 * 3_600_000
FETCH = """(async () => {
  const answered = await fetch(URL, {headers: HEADERS});
  const size = (await answered.arrayBuffer()).byteLength;
  const [kept] = performance.getEntriesByName(new URL(URL, location).href).slice(-1);
  return [answered.status, answered.headers.get("x-request-id"), size, kept.transferSize < size];
})()"""


async def furnish(data):
    """Store the patient a month ago: what changed just now, no browser takes for lasting."""
    settings, _ = load({"data": str(data)}, {}, None)
    async with app.installation(settings, "http://localhost") as house:
        context = house.context("default", everything("tests"))
        stored = await dispatch(
            context, FhirRequest("PUT", "Patient/p1", body=json.dumps(PATIENT).encode())
        )
    assert stored.status == 201


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server that needs tokens, with a patient and a study."""
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fhir_server.app.stores.now", lambda: now() - MONTH_MS)
        asyncio.run(furnish(data))
    served = Served(data, auth="smart")
    with bearing(served, "system/*.cruds") as client:
        for file in small_study.files(slices=1):
            kind = {"Content-Type": "application/dicom"}
            stored = client.post(f"{images(served)}/studies", content=file, headers=kind)
            assert stored.status_code == 200, stored.text
    yield served
    assert served.stop() == 0


def images(place):
    return f"{place.base.removesuffix('/fhir')}/dicom-web"


def bearing(place, scope, **more):
    token = mint(KeyRing(place.data / "keys"), OperatorToken(scope, **more))
    return httpx.Client(headers={"Authorization": f"Bearer {token}"})


def pixels(place):
    """The paths of one frame, and of a picture of it, below the service's base."""
    with bearing(place, "system/*.rs") as client:
        (found,) = client.get(f"{images(place)}/instances").json()
    study, series, instance = (
        found[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")
    )
    path = f"/studies/{study}/series/{series}/instances/{instance}"
    return [f"{path}/frames/1", f"{path}/rendered"]


async def fetched(tab, url, **headers):
    script = FETCH.replace("URL, {", f"{json.dumps(url)}, {{")
    script = script.replace("new URL(URL,", f"new URL({json.dumps(url)},")
    return await tab.run(script.replace("HEADERS", json.dumps(headers)))


async def test_a_browser_asks_again_whoever_uses_it_next(place, tmp_path):
    paths = [f"{images(place)}{path}" for path in await asyncio.to_thread(pixels, place)]
    with bearing(place, "system/*.rs") as client:
        good = client.headers["authorization"]
    resources = [f"{place.base}/Patient/p1", f"{place.base}/Patient/p1/_history/1"]
    async with chromium.running(tmp_path) as browser:
        tab = await browser.tab()
        await tab.go(f"{place.base.removesuffix('/fhir')}/livez")
        await tab.until("location.pathname === '/livez'")
        for url in (*resources, *paths):
            told = [await fetched(tab, url, authorization=good) for _ in "12"]
            told += [await fetched(tab, url, authorization="Bearer nonsense")]
            told += [await fetched(tab, url)]
            assert [status for status, *_ in told] == [200, 200, 401, 401], url
            assert len({request for _, request, *_ in told}) == 4, url
            assert told[0][2] == told[1][2] > 300 or url in resources, url
            unsent = told[1][3]
            assert unsent == (url in paths), url


def test_no_answer_but_the_statement_and_pixels_may_be_kept(place):
    frame, _ = pixels(place)
    study = frame.partition("/series")[0]
    asked = {
        "Patient/p1": "no-store",
        "Patient?name=e": "no-store",
        "Patient/_history": "no-store",
        "Patient/nobody": "no-store",
        "Patient/p1/$everything": "no-store",
        "Nope": "no-store",
        "_async/nothing": "no-store",
        "metadata": "no-cache",
        f"../dicom-web{frame}": "private, no-cache",
        f"../dicom-web{study}": "no-store",
        f"../dicom-web{study}/metadata": "no-store",
        "../dicom-web/studies": "no-store",
        "../dicom-web/studies/1.2": "no-store",
    }
    with bearing(place, "system/*.rs") as client:
        for path, wanted in asked.items():
            answered = client.get(f"{place.base}/{path}")
            assert answered.headers["cache-control"] == wanted, path
            varies = {name.strip().lower() for name in answered.headers["vary"].split(",")}
            assert {"authorization", "origin", "accept"} <= varies, path
    refused = httpx.get(f"{place.base}/Patient/p1")
    assert (refused.status_code, refused.headers["cache-control"]) == (401, "no-store")


def test_what_a_client_has_of_pixels_is_not_sent_again_and_the_token_is_looked_at_first(place):
    with bearing(place, "system/*.rs") as client, bearing(place, "patient/*.rs", patient="p1") as p:
        for path in pixels(place):
            url = f"{images(place)}{path}"
            first = client.get(url)
            known = {"If-None-Match": f'"x", {first.headers["etag"]}'}
            again = client.get(url, headers=known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert again.headers["cache-control"] == "private, no-cache"
            assert client.get(f"{url}?quality=1", headers=known).status_code == 200
            assert p.get(url, headers=known).status_code == 404
            assert httpx.get(url, headers=known).status_code == 401


def test_a_programme_that_keeps_an_etag_is_told_that_nothing_changed(place):
    with bearing(place, "system/*.rs") as client:
        url = f"{place.base}/Patient/p1"
        known = {"If-None-Match": client.get(url).headers["etag"]}
        assert client.get(url, headers=known).status_code == 304


def test_a_token_that_is_not_taken_is_told_apart_from_none(place):
    wrong = {"Authorization": "Bearer nonsense"}
    for url, realm in (
        (f"{place.base}/Patient/p1", "fhir"),
        (f"{images(place)}/studies", "dicom-web"),
    ):
        refused = httpx.get(url, headers=wrong).headers["www-authenticate"]
        assert refused == f'Bearer realm="{realm}", error="invalid_token"'
        for headers in ({}, {"Authorization": "Basic eDp5"}):
            told = httpx.get(url, headers=headers).headers["www-authenticate"]
            assert told == f'Bearer realm="{realm}"'
