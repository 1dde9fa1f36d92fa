"""Against a real server: clients of others, unmodified (fhirclient of npm and of Python, fhirpy, authlib).

And over the same server image tokens, the rotation of keys, and what its audit trail tells of a token.
"""

import asyncio
import contextlib
import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from urllib.parse import urljoin

import chromium
import httpx
import lxml.html
import pytest
import small_study
from fhirclient.client import FHIRClient
from fhirpy import SyncFHIRClient
from joserfc.jwk import ECKey, RSAKey
from served import ROOT, Served

from fhir_server import app
from fhir_server.settings import load
from smart_auth.clients import Registration, add_client
from smart_auth.keys import KeyRing
from smart_auth.operator_token import OperatorToken, mint
from smart_auth.users import add_user

LIBRARY = ROOT / ".servers" / "fhir-client.js"
PASSWORD = "correct horse"
PAGES = {
    "standalone.html": """<script src="fhir-client.js"></script><script>
FHIR.oauth2.authorize({iss: "BASE", clientId: "js", redirectUri: "index.html",
  scope: "openid fhirUser launch/patient launch/imagingstudy offline_access patient/*.rs"});
</script>""",
    "launch.html": """<script src="fhir-client.js"></script><script>
FHIR.oauth2.authorize({clientId: "js", redirectUri: "index.html",
  scope: "launch openid fhirUser offline_access patient/*.rs"});
</script>""",
    "index.html": """<title>waiting</title><body><script src="fhir-client.js"></script><script>
const show = (name, value) => {
  document.body.textContent = JSON.stringify(value);
  document.title = name;
};
FHIR.oauth2.ready().then(async client => {
  const patient = await client.patient.read();
  const studies = await client.patient.request("ImagingStudy");
  const user = await client.user.read();
  await client.refresh();
  const again = await client.request(`Patient/${patient.id}`);
  const answer = client.state.tokenResponse;
  show("done", {patient: patient.id, again: again.id, studies: studies.entry.length,
    user: client.user.fhirUser, read: user.id, context: answer.fhirContext || [],
    banner: answer.need_patient_banner, style: answer.smart_style_url || ""});
}).catch(error => show("failed", String(error)));
</script>""",
}
PATIENT = {"resourceType": "Patient", "id": "ann", "name": [{"family": "Example"}]}
OTHER = {"resourceType": "Patient", "id": "bob", "name": [{"family": "Sample"}]}
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "s1",
    "status": "available",
    "subject": {"reference": "Patient/ann"},
    "description": "CT chest",
}
DOCTOR = {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Doe"}]}


class Site:
    """The app's own pages, on an origin of their own."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                """Say nothing."""

        answer = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer)
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write(self, base):
        for name, text in PAGES.items():
            page = f"<!doctype html><meta charset=utf-8>{text.replace('BASE', base)}"
            (self.folder / name).write_text(page)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    if not LIBRARY.is_file():
        pytest.fail("the npm library is not there; `make servers` fetches it")
    (folder / "fhir-client.js").write_bytes(LIBRARY.read_bytes())
    made = Site(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client_key():
    return {
        "ES384": ECKey.generate_key("P-384", {"kid": "e", "use": "sig"}),
        "RS384": RSAKey.generate_key(2048, {"kid": "r", "use": "sig"}),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory, site, client_key):
    """A server with two patients, a study, a radiologist and the clients; gives its FHIR base and data."""
    data = tmp_path_factory.mktemp("data")
    served = Served(data, auth="smart")
    site.write(served.base)

    async def furnish():
        settings, _ = load({"data": str(data)}, {}, None)
        async with app.installation(settings, "http://localhost") as house:
            documents = house.services.documents
            await add_user(documents, "default", "doc", "Practitioner/d1", PASSWORD, "radiologist")
            js = Registration(
                "js",
                "public",
                "Script app",
                (f"{site.url}/index.html",),
                launch_uri=f"{site.url}/launch.html",
            )
            await add_client(documents, "default", js)
            py = Registration("py", "public", "Python app", ("http://127.0.0.1:9/callback",))
            await add_client(documents, "default", py)
            jwks = {"keys": [key.as_dict(private=False) for key in client_key.values()]}
            bulk = Registration("bulk", "asymmetric", scopes="system/*.rs", keys=jwks)
            await add_client(documents, "default", bulk)

    asyncio.run(furnish())
    token = mint(KeyRing(data / "keys"), OperatorToken("system/*.cruds"))
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as http_:
        for resource in (PATIENT, OTHER, DOCTOR, STUDY):
            where = f"{served.base}/{resource['resourceType']}/{resource['id']}"
            answer = http_.put(where, json=resource)
            assert answer.status_code == 201, answer.text
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def base(place):
    return place.base


async def log_in(tab):
    await tab.until("document.title.startsWith('Log in')")
    await tab.fill(name="doc", password=PASSWORD)
    await tab.press("button[type=submit]")


async def allow(tab):
    await tab.until("document.title.startsWith('Allow')")
    await tab.press("button[value=allow]")
    title = await tab.until("['done', 'failed'].includes(document.title) && document.title")
    told = await tab.run("document.body.textContent")
    assert title == "done", told
    return json.loads(told)


async def test_the_npm_client_launches_standalone_reads_and_refreshes(base, site, tmp_path):
    async with chromium.running(tmp_path) as browser:
        tab = await browser.tab()
        await tab.go(f"{site.url}/standalone.html")
        await log_in(tab)
        await tab.press("button[name=patient][value=ann]")
        await tab.press("button[name=imagingstudy][value=s1]")
        told = await allow(tab)
    assert told["patient"] == told["again"] == "ann"
    assert told["studies"] == 1
    assert told["user"] == "Practitioner/d1"
    assert told["read"] == "d1"
    assert told["context"] == [{"reference": "ImagingStudy/s1"}]


async def test_the_npm_client_is_launched_by_the_ehr_with_the_study_in_hand(base, site, tmp_path):
    async with chromium.running(tmp_path) as browser:
        tab = await browser.tab()
        await tab.go(f"{base.removesuffix('/fhir')}/auth/simulator")
        await log_in(tab)
        await tab.press("button[name=patient][value=ann]")
        await tab.until("document.querySelector('select[name=app]')")
        await tab.run("document.querySelector('select[name=app]').value = 'js'")
        await tab.run("document.querySelector('select[name=imagingstudy]').value = 's1'")
        await tab.press("button[value=launch]")
        told = await allow(tab)
    assert told["patient"] == "ann"
    assert told["context"] == [{"reference": "ImagingStudy/s1"}]
    assert told["banner"] is True
    assert told["style"] == f"{base.removesuffix('/fhir')}/auth/style"


class Person:
    """A person without scripts: keeps cookies, fills in forms, follows redirects of the server."""

    def __init__(self, base):
        self.base = base.removesuffix("/fhir")
        self.http = httpx.Client()

    def follow(self, response):
        while response.is_redirect and response.headers["location"].startswith("/auth/"):
            response = self.http.get(urljoin(self.base, response.headers["location"]))
        return response

    def submit(self, page, nth=0, **values):
        form = lxml.html.fromstring(page.text).forms[nth]
        fields = [(n, values.pop(n, v)) for n, v in form.form_values()] + list(values.items())
        content = str(httpx.QueryParams(fields))
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.follow(
            self.http.post(urljoin(self.base, form.action), content=content, headers=kind)
        )

    def allow(self, url):
        """Walk from the authorisation request to the app's callback; give its URL."""
        page = self.follow(self.http.get(url))
        page = self.submit(page, name="doc", password=PASSWORD)
        if "Which patient" in page.text:
            page = self.submit(page, nth=1, patient="ann")
        return self.submit(page, decision="allow").headers["location"]


@pytest.fixture
def person(base):
    made = Person(base)
    with contextlib.closing(made.http):
        yield made


def test_the_python_client_launches_standalone(base, person):
    settings = {
        "app_id": "py",
        "api_base": base,
        "redirect_uri": "http://127.0.0.1:9/callback",
        "scope": "openid fhirUser launch/patient patient/*.rs",
    }
    client = FHIRClient(settings=settings)
    client.handle_callback(person.allow(client.authorize_url))
    assert client.patient_id == "ann"
    assert client.patient.name[0].family == "Example"


def authlib_client(**more):
    with warnings.catch_warnings():
        import authlib.deprecate

        warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
        from authlib.integrations.httpx_client import OAuth2Client
    return OAuth2Client(**more)


def test_an_authlib_client_and_fhirpy_read_what_the_user_allowed(base, person):
    issuer = base.removesuffix("/fhir")
    with authlib_client(
        client_id="py",
        token_endpoint_auth_method="none",
        redirect_uri="http://127.0.0.1:9/callback",
        scope="launch/patient patient/Patient.rs offline_access",
        code_challenge_method="S256",
    ) as client:
        verifier = "v" * 64
        url, state = client.create_authorization_url(
            f"{issuer}/auth/authorize", code_verifier=verifier, aud=base
        )
        back = person.allow(url)
        assert f"state={state}" in back
        token = client.fetch_token(
            f"{issuer}/auth/token", authorization_response=back, code_verifier=verifier
        )
        assert token["patient"] == "ann"
        assert client.get(f"{base}/Patient/ann").json()["id"] == "ann"
        fresh = client.refresh_token(f"{issuer}/auth/token")
    fhirpy = SyncFHIRClient(base, authorization=f"Bearer {fresh['access_token']}")
    assert [patient.id for patient in fhirpy.resources("Patient").fetch_all()] == ["ann"]


@pytest.mark.parametrize("alg", ["ES384", "RS384"])
async def test_a_bulk_client_exports_with_a_signed_assertion(base, client_key, alg):
    with warnings.catch_warnings():
        import authlib.deprecate

        warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
        from authlib.oauth2.rfc7523 import PrivateKeyJWT
    url = f"{base.removesuffix('/fhir')}/auth/token"
    key = client_key[alg]
    with authlib_client(client_id="bulk", client_secret=key, scope="system/*.rs") as client:
        claims = {"exp": int(time.time()) + 240}
        proof = PrivateKeyJWT(url, alg=alg, headers={"kid": key.kid}, claims=claims)
        client.register_client_auth_method(proof)
        client.token_endpoint_auth_method = proof.name
        client.fetch_token(url, grant_type="client_credentials")
        headers = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
        kicked = client.get(f"{base}/$export?_type=Patient", headers=headers)
        assert kicked.status_code == 202, kicked.text
        status = kicked.headers["content-location"]
        async with asyncio.timeout(60):
            while (answer := client.get(status)).status_code == 202:  # noqa: ASYNC110 - it polls
                await asyncio.sleep(0.1)
        lines = []
        for output in answer.json()["output"]:
            lines += client.get(output["url"]).text.splitlines()
    assert {json.loads(line)["id"] for line in lines} == {"ann", "bob"}


# --- image tokens over the real archive -----------------------------------------------------------


@pytest.fixture(scope="module")
def study(place):
    """A study in the archive whose ImagingStudy is bob's; gives its UID."""
    files = list(small_study.files(slices=2))
    images_of = {"patient": "bob"}
    boundary = "b"
    body = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + b"\r\n"
        for file in files
    )
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    with operator(place, "system/*.cruds") as client:
        images = f"{place.base.removesuffix('/fhir')}/dicom-web"
        content = body + f"--{boundary}--\r\n".encode()
        stored = client.post(f"{images}/studies", content=content, headers={"Content-Type": kind})
        assert stored.status_code == 200, stored.text
        query = f"{place.base}/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{small_study.UID}"
        (entry,) = client.get(query).json()["entry"]
        found = entry["resource"] | {"subject": {"reference": f"Patient/{images_of['patient']}"}}
        assert client.put(f"{place.base}/ImagingStudy/{found['id']}", json=found).is_success
    return small_study.UID


def operator(place, scope, **more):
    token = mint(KeyRing(place.data / "keys"), OperatorToken(scope, **more))
    return httpx.Client(headers={"Authorization": f"Bearer {token}"})


def test_a_page_loads_pictures_by_the_cookie_of_its_grant(place, study):
    issuer = place.base.removesuffix("/fhir")
    pictures = f"{issuer}/dicom-web/studies/{study}/metadata"
    with operator(place, "patient/*.rs", patient="bob") as client:
        begun = client.post(f"{issuer}/auth/image-session")
        assert begun.status_code == 200, begun.text
        cookie = begun.headers["set-cookie"].partition(";")[0]
    with httpx.Client(headers={"Cookie": cookie}) as viewer:
        assert viewer.get(pictures).status_code == 200
        assert viewer.get(f"{issuer}/dicom-web/studies").json()
        assert viewer.get(f"{place.base}/Patient/bob").status_code == 401
        assert viewer.post(f"{issuer}/dicom-web/studies").status_code in {400, 403}
    with operator(place, "patient/*.rs", patient="ann") as client:
        begun = client.post(f"{issuer}/auth/image-session")
        other = begun.headers["set-cookie"].partition(";")[0]
    assert httpx.get(pictures, headers={"Cookie": other}).status_code == 404
    assert httpx.get(pictures).status_code == 401


def test_a_viewer_without_any_token_opens_one_study_by_its_link(place, study):
    issuer = place.base.removesuffix("/fhir")
    with operator(place, "user/*.rs", fhir_user="Practitioner/d1") as client:
        told = client.post(f"{issuer}/auth/study-link", data={"study": study}).json()
    with httpx.Client() as viewer:
        found = viewer.get(f"{told['url']}/metadata")
        assert found.status_code == 200, found.text
        assert len(found.json()) == 2
        (one,) = viewer.get(f"{told['dicomweb']}/studies").json()
        assert one["00081190"]["Value"] == [told["url"]]
        picture = viewer.get(f"{told['url']}/series/{first(found)}/rendered")
        assert picture.headers["content-type"].startswith("image/")
        assert viewer.get(told["url"].replace(study, "1.2.3")).status_code == 404
        assert viewer.get(f"{issuer}/dicom-web/link/x/studies").status_code == 401
        token = told["dicomweb"].rpartition("/")[2]
        bearer = {"Authorization": f"Bearer {token}"}
        assert viewer.get(f"{issuer}/dicom-web/studies", headers=bearer).status_code == 401


def first(metadata):
    return metadata.json()[0]["0020000E"]["Value"][0]


def test_the_rules_for_operations_and_images_are_advertised(base):
    (rest,) = httpx.get(f"{base}/metadata").json()["rest"]
    told = rest["security"]["description"]
    assert "$operation" in told
    assert "/dicom-web follows ImagingStudy" in told


# --- keys -----------------------------------------------------------------------------------------


def test_keys_rotate_without_logging_anyone_out(place):
    jwks = f"{place.base.removesuffix('/fhir')}/auth/jwks"
    with operator(place, "system/*.rs") as client:
        assert client.get(f"{place.base}/Patient/ann").status_code == 200
        command = [sys.executable, "-m", "fhir_server", "keys", "rotate", "--data", str(place.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert client.get(f"{place.base}/Patient/ann").status_code == 200
        with operator(place, "system/*.rs") as fresh:
            assert fresh.get(f"{place.base}/Patient/ann").status_code == 200
        time.sleep(1.1)  # what another process made is looked for once a second
        assert httpx.get(jwks).json()["keys"][0]["kid"] == done.stdout.strip()


def test_the_library_is_the_one_that_is_pinned():
    import hashlib

    from scripts.npm_packages import SHA256

    assert hashlib.sha256(Path(os.fspath(LIBRARY)).read_bytes()).hexdigest() == SHA256
