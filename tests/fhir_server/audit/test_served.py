"""The trail of a real server: every door, every access, searchable soon, once, and over kill -9."""

import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import uuid

import httpx
import pytest
from dicomweb import ROOT as UID
from dicomweb import ct
from served import ROOT, Served
from small_study import order, patient

_WAIT_S = 15
FHIR = "application/fhir+json"


def command(data, *arguments, given=None):
    ran = subprocess.run(
        [sys.executable, "-m", "fhir_server", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        input=given,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


class World:
    """A server with SMART on, an operator's token, and how to ask and look."""

    def __init__(self, data):
        self.data = data
        self.served = Served(data, auth="smart")
        token = command(data, "token", "--scope", "system/*.cruds")
        self.headers = {"authorization": f"Bearer {token}"}
        self.client = httpx.Client(headers=self.headers, timeout=30)
        self.base = self.served.base.removesuffix("/fhir")

    def ask(self, method, path, body=None, **headers):
        request_id = uuid.uuid4().hex
        sent = {"x-request-id": request_id, "content-type": "application/fhir+json", **headers}
        content = json.dumps(body) if isinstance(body, dict) else body
        answered = self.client.request(method, f"{self.base}/{path}", content=content, headers=sent)
        assert answered.headers["x-request-id"] == request_id
        return answered, request_id

    def events(self, query, least=1):
        """Search AuditEvents until there are as many, at the longest as long as is promised."""
        until = time.monotonic() + _WAIT_S
        while True:
            found = self.client.get(f"{self.base}/fhir/AuditEvent?{query}&_count=500").json()
            held = [entry["resource"] for entry in found.get("entry", [])]
            if len(held) >= least or time.monotonic() > until:
                return held
            time.sleep(0.2)

    def of(self, request_id, least=1):
        """Give the events of a request; they are found by looking at all."""
        until = time.monotonic() + _WAIT_S
        while True:
            held = [e for e in self.events("_sort=-date", 0) if request_id in _requests(e)]
            if len(held) >= least or time.monotonic() > until:
                return held
            time.sleep(0.2)

    def close(self):
        self.client.close()
        self.served.kill()


def _requests(event):
    return [
        e["what"]["identifier"]["value"]
        for e in event.get("entity", [])
        if e.get("type", {}).get("code") == "XrequestId"
    ]


def references(event):
    return [
        e["what"]["reference"] for e in event.get("entity", []) if "reference" in e.get("what", {})
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("audited") / "data")
    for resource in (patient("p1"), patient("p2"), order("o1", "p1")):
        made.ask("PUT", f"fhir/{resource['resourceType']}/{resource['id']}", resource)
    yield made
    made.close()


OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient/p1"},
}


def transaction(method):
    entry = {"resource": OBSERVATION, "request": {"method": "POST", "url": "Observation"}}
    return {"resourceType": "Bundle", "type": method, "entry": [entry]}


ACCESSES = (
    ("GET", "fhir/ServiceRequest/o1", None, "read"),
    ("GET", "fhir/ServiceRequest/o1/_history/1", None, "vread"),
    ("GET", "fhir/ServiceRequest/o1/_history", None, "history-instance"),
    ("GET", "fhir/ServiceRequest?status=active", None, "search-type"),
    ("GET", "fhir/ServiceRequest?status=active&_include=*", None, "search-type"),
    ("GET", "fhir/Patient/p1/ServiceRequest", None, "search-type"),
    ("POST", "fhir/ServiceRequest/_search?status=active", None, "search-type"),
    ("POST", "fhir/Observation", OBSERVATION, "create"),
    ("POST", "fhir", transaction("transaction"), "create"),
    ("POST", "fhir", transaction("batch"), "create"),
    ("PUT", "fhir/ServiceRequest/o1", order("o1", "p1"), "update"),
)


@pytest.fixture(scope="module")
def told(world):
    """Make every access of the table, then give what is told of each."""
    asked = []
    for method, path, body, _ in ACCESSES:
        kind = "application/x-www-form-urlencoded" if "_search" in path else FHIR
        answered, request_id = world.ask(method, path, body, **{"content-type": kind})
        assert answered.status_code < 300, answered.text
        asked.append(request_id)
    return [world.of(request_id) for request_id in asked]


@pytest.mark.parametrize("number", range(len(ACCESSES)))
def test_an_interaction_is_told_with_its_patient(told, number):
    (event,) = told[number]
    assert [coding["code"] for coding in event["subtype"]] == [ACCESSES[number][3]]
    assert "Patient/p1" in references(event)
    assert "Patient/p2" not in references(event)


def test_what_a_condition_deleted_is_found_by_what_it_was_and_by_its_patient(world):
    asked = []
    for id_ in ("gone1", "gone2"):
        held = {**OBSERVATION, "id": id_, "identifier": [{"system": "urn:ids", "value": id_}]}
        assert world.ask("PUT", f"fhir/Observation/{id_}", held)[0].status_code == 201
        asked.append(f"Observation?identifier=urn:ids|{id_}")
    assert world.ask("DELETE", f"fhir/{asked[0]}")[0].status_code == 204
    entry = {"request": {"method": "DELETE", "url": asked[1]}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert world.ask("POST", "fhir", bundle)[0].status_code == 200
    for id_ in ("gone1", "gone2"):
        (event,) = world.events(f"entity=Observation/{id_}&patient=p1&action=D")
        assert references(event) == ["Patient/p1", f"Observation/{id_}/_history/2"]


def test_what_was_refused_is_told_too(world):
    answered, request_id = world.ask("GET", "fhir/Patient/nobody")
    assert answered.status_code == 404
    (event,) = world.of(request_id)
    assert (event["outcome"], references(event)) == ("4", ["Patient/nobody"])
    answered, request_id = world.ask("GET", "fhir/Patient/p1", authorization="Bearer x")
    assert answered.status_code == 401
    (event,) = world.of(request_id)
    assert event["subtype"][0]["code"] == "refused"


def test_who_saw_a_study_and_a_patient_is_one_search_each(world):
    files = [ct(study=7, number=n, PatientID="p2") for n in (1, 2)]
    body = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files
    )
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    answered, _ = world.ask(
        "POST", "dicom-web/studies", body + b"--b--", accept="*/*", **{"content-type": kind}
    )
    assert answered.status_code == 200, answered.text
    study = f"dicom-web/studies/{UID}.7"
    for path in (
        f"{study}/metadata",
        f"{study}/metadata",
        "dicom-web/studies?ModalitiesInStudy=CT",
    ):
        answered, last = world.ask("GET", path, accept="application/dicom+json")
        assert answered.status_code == 200
    (searched,) = world.of(last)
    assert searched["subtype"][0]["code"] == "search-studies"
    found = world.client.get(f"{world.base}/fhir/ImagingStudy").json()["entry"][0]["resource"]
    assert world.events(f"entity=ImagingStudy/{found['id']}&subtype=frames")
    subject = found["subject"].get("reference")
    assert subject is None or world.events(f"patient={subject}&subtype=frames")
    assert world.events("patient=p1&subtype=read")


def test_a_login_that_failed_and_a_token_by_command_are_told(world):
    page = httpx.get(f"{world.base}/auth/login")
    token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
    form = {"name": "eve", "password": "guessing it", "form_token": token}
    answered = httpx.post(f"{world.base}/auth/login", data=form, cookies=page.cookies)
    assert answered.status_code == 403
    (event,) = world.events("subtype=110122")
    assert (event["outcome"], event["agent"][0]["who"]["identifier"]["value"]) == ("4", "eve")
    assert world.events("subtype=ITI-71")


def test_a_refused_token_request_is_told_without_its_secret(world):
    form = {"grant_type": "client_credentials", "client_id": "ghost", "client_secret": "s3cret"}
    assert httpx.post(f"{world.base}/auth/token", data=form).status_code == 401
    found = [e for e in world.events("subtype=ITI-71", 2) if e["outcome"] == "4"]
    assert found
    text = json.dumps(found)
    queries = [base64.b64decode(e["query"]) for f in found for e in f["entity"] if "query" in e]
    assert "s3cret" not in text
    assert queries
    assert not any(b"s3cret" in query for query in queries)


def test_a_message_is_told_with_its_request_id(world):
    import socket

    text = (
        "MSH|^~\\&|RIS|HOSP|H|X|20260101||ADT^A01|M1|P|2.5\rEVN|A01|20260101\r"
        "PID|1||77^^^HOSP||Test^Pat\rPV1|1|I\r"
    )
    port = json.loads((world.data / "ports.json").read_bytes())["mllp"]
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"\x0b" + text.encode() + b"\x1c\r")
        acknowledged = line.recv(4096)
    assert b"MSA|AA" in acknowledged
    (event,) = world.events("subtype=message")
    (request,) = _requests(event)
    assert len(world.of(request, 2)) > 1, "what it wrote is joined to it"
    assert any(reference.startswith("Patient/") for reference in references(event))


def test_an_export_and_its_files_are_told(world):
    started, _ = world.ask("GET", "fhir/$export?_type=Patient", prefer="respond-async")
    place = started.headers["content-location"].removeprefix(world.base + "/")
    for _ in range(30):
        answered, _ = world.ask("GET", place)
        if answered.status_code == 200:
            break
        time.sleep(1)
    (file,) = [one["url"].removeprefix(world.base + "/") for one in answered.json()["output"]]
    assert world.ask("GET", file)[0].status_code == 200
    (exported,) = world.events("subtype=export")
    assert exported["type"]["code"] == "110106"
    assert world.events("subtype=disclose")


def test_the_trail_is_not_altered_by_anyone(world):
    event = world.events("subtype=read")[0]
    place = f"fhir/AuditEvent/{event['id']}"
    assert world.ask("PUT", place, event)[0].status_code == 405
    patch = json.dumps([{"op": "replace", "path": "/outcome", "value": "8"}])
    answered, _ = world.ask(
        "PATCH", place, patch, **{"content-type": "application/json-patch+json"}
    )
    assert answered.status_code == 405
    assert world.ask("DELETE", place)[0].status_code == 405
    assert world.ask("DELETE", "fhir/AuditEvent?subtype=read")[0].status_code in {405, 412}
    for method in ("PUT", "DELETE"):
        entry = {"request": {"method": method, "url": f"AuditEvent/{event['id']}"}}
        if method == "PUT":
            entry["resource"] = event
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        assert world.ask("POST", "fhir", bundle)[0].status_code == 405
    assert world.ask("POST", place + "/$purge")[0].status_code == 404, "it is no operation here"
    assert world.client.get(f"{world.base}/{place}").json()["meta"]["versionId"] == "1"


def test_only_who_was_given_the_trail_reads_it(world):
    for scope, status in (("user/*.rs", 403), ("user/AuditEvent.rs", 200)):
        token = command(world.data, "token", "--scope", scope, "--fhir-user", "Practitioner/1")
        answered = httpx.get(
            f"{world.base}/fhir/AuditEvent", headers={"authorization": f"Bearer {token}"}
        )
        assert answered.status_code == status


def test_a_record_survives_kill_9_and_is_told_once(world):
    answered: list[str] = []
    stopped = threading.Event()

    def ask():
        with contextlib.suppress(httpx.HTTPError):
            while not stopped.is_set():
                answered.append(world.ask("GET", "fhir/Patient/p1")[1])
                answered.append(world.ask("PUT", "fhir/Patient/p2", patient("p2"))[1])

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    time.sleep(0.6)
    world.served.kill()
    stopped.set()
    for thread in asking:
        thread.join()
    assert len(answered) > 4
    world.served = Served(world.data, auth="smart")
    world.base = world.served.base.removesuffix("/fhir")
    wanted, until = set(answered), time.monotonic() + 60
    while time.monotonic() < until:
        told = _told_since(world)
        if wanted <= set(told):
            break
        time.sleep(0.5)
    assert not wanted - set(told)
    assert all(told.count(one) == 1 for one in wanted)
    assert command(world.data, "audit", "verify").startswith("ok")


def _told_since(world):
    """Give the request ids of all events, page by page."""
    found, url = [], f"{world.base}/fhir/AuditEvent?_count=1000"
    while url:
        page = world.client.get(url).json()
        for entry in page.get("entry", []):
            found.extend(_requests(entry["resource"]))
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return found
