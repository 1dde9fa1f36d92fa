"""An order, a study, a model's result, a signed report, an export: killed on the way, it ends the same.

Each point is a moment of the story at which the server, or the process that runs the model, is killed with
SIGKILL. Then the server is started again, whoever was not answered asks again, and the story goes on.
"""

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections import Counter

import httpx
import psutil
import pytest
import small_study
from pydicom.dataset import Dataset
from served import Served
from v2 import segment, text

from fhir_server.demo.messages import answer
from fhir_server.hl7v2 import mllp

POINTS = (
    "admission sent, not acknowledged",
    "study sent, not answered",
    "process of the model killed",
    "order sent, not acknowledged",
    "study half sent",
    "inference accepted",
    "model runs",
    "results to be seen",
    "signature sent, not answered",
    "export accepted",
)
DELAYS = (0.0, 0.004, 0.02, 0.06) if os.environ.get("HOUNSFIELD_PROVE") == "1" else (0.0,)
PATIENCE_S = 90
TIMES = frozenset(
    {
        "authoredOn", "created", "date", "enteredDate", "executionPeriod", "issued", "lastModified",
        "meta", "occurredDateTime", "recorded",
    }
)  # fmt: skip
REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})")

PID = segment("PID", f1="1", f3="P1^^^HOSP^MR", f5="ROE^JANE", f7="19700131", f8="F")
PV1 = segment("PV1", f1="1", f2="O", f19="V1^^^HOSP^VN", f44="20260102100000+0100")


def header(kind, control):
    return segment(
        "MSH", f3="RIS", f4="HOSP", f7="20260102100000+0100", f9=kind, f10=control, f11="P",
        f12="2.5.1",
    )  # fmt: skip


ADMISSION = text(header("ADT^A04^ADT_A01", "C1"), segment("EVN", f1="A04"), PID, PV1)
ORDER = text(
    header("ORM^O01", "C2"),
    PID,
    PV1,
    segment("ORC", f1="NW", f2="O1^PLACER", f3="F1^RIS", f5="SC", f9="20260102100000+0100"),
    segment("OBR", f1="1", f2="O1^PLACER", f3="F1^RIS", f4="24627-2^CT Chest^LN", f18="A1^RIS",
            f24="CT", f31="R05^Cough^I10"),
)  # fmt: skip


def instances():
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "RIS"
    return small_study.files(IssuerOfAccessionNumberSequence=[issuer])


class Story:
    """The story over a real server, which is killed once, at its point, `delay` seconds later."""

    def __init__(self, data, point="", delay=0.0):
        self.point, self.delay, self.data = point, delay, data
        self.kills = 0
        self.served = Served(data)
        self.http = self._client()

    def _client(self):
        root = f"http://127.0.0.1:{self.served.port}"
        return httpx.Client(base_url=root, timeout=60)

    @property
    def mllp(self):
        return "127.0.0.1", json.loads((self.data / "ports.json").read_bytes())["mllp"]

    def at(self, point):
        """Tell whether this is the moment."""
        return point == self.point

    def kill(self):
        """Kill the server with all its processes, and start it again on its ports."""
        time.sleep(self.delay)
        port, (_, mllp_port) = self.served.port, self.mllp
        self.served.kill()
        self.http.close()
        self.served = Served(self.data, "--port", str(port), "--mllp-port", str(mllp_port))
        self.http = self._client()
        self.kills += 1

    def close(self):
        self.http.close()
        assert self.served.stop() == 0

    # --- the story ---

    def play(self):
        self.message("admission", ADMISSION)
        self.message("order", ORDER)
        self.study()
        (study,) = self.all("ImagingStudy")
        report = self.infer(study)
        self.sign(report)
        return self.export()

    def message(self, name, message):
        if self.at(f"{name} sent, not acknowledged"):
            with socket.create_connection(self.mllp) as connection:
                connection.sendall(mllp.frame(message))
                self.kill()
        acknowledgement = asyncio.run(mllp.send(*self.mllp, message))
        assert answer(acknowledgement)[0] == "AA", acknowledgement

    def study(self):
        kind = 'multipart/related; type="application/dicom"; boundary=part'
        parts = (b"Content-Type: application/dicom\r\n\r\n" + file for file in instances())
        body = b"".join(b"--part\r\n" + part + b"\r\n" for part in parts) + b"--part--\r\n"
        if self.at("study half sent"):
            self.cut_off("/dicom-web/studies", kind, body, len(body) // 2)
        if self.at("study sent, not answered"):
            self.cut_off("/dicom-web/studies", kind, body, len(body))
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        stored = self.http.post("/dicom-web/studies", content=body, headers=headers)
        assert stored.status_code == 200, stored.text
        assert len(stored.json()["00081199"]["Value"]) == 4

    def infer(self, study):
        place = self.accepted("POST", f"/fhir/ImagingStudy/{study['id']}/$infer?model=iq-classical")
        if self.at("inference accepted"):
            self.kill()
        if self.at("process of the model killed"):
            model = self.until(self.model_s_process)
            time.sleep(self.delay)
            os.kill(model, signal.SIGKILL)
            self.kills += 1
        if self.at("model runs"):
            self.until(self.model_s_process)
            self.kill()
        if self.at("results to be seen"):
            self.until(lambda: self.all("Observation"))
            self.kill()
        task = self.until(lambda: self.done(place)).json()
        assert task["status"] == "completed"
        (report,) = self.all("DiagnosticReport")
        return report

    def sign(self, report):
        place = f"/fhir/DiagnosticReport/{report['id']}/$sign"
        conclusion = {"name": "conclusion", "valueString": "Seen."}
        signer = {"name": "practitioner", "valueReference": {"reference": "Practitioner/d1"}}
        body = {"resourceType": "Parameters", "parameter": [conclusion, signer]}
        if self.at("signature sent, not answered"):
            sent = json.dumps(body).encode()
            self.cut_off(place, "application/fhir+json", sent, len(sent))
        signed = self.http.post(place, json=body)
        assert signed.status_code in ({200, 409} if self.kills else {200}), signed.text
        final = self.http.get(f"/fhir/DiagnosticReport/{report['id']}").json()
        assert (final["status"], final["conclusion"]) == ("final", "Seen.")

    def export(self):
        place = self.accepted("GET", "/fhir/$export")
        if self.at("export accepted"):
            self.kill()
        manifest = self.until(lambda: self.done(place)).json()
        files = {}
        for each in manifest["output"]:
            content = self.http.get(httpx.URL(each["url"]).path).content
            files[each["type"]] = [json.loads(line) for line in content.splitlines()]
            assert len(files[each["type"]]) == each["count"]
        return files

    # --- its means ---

    def cut_off(self, path, kind, body, count):
        """Send so many bytes of a request's body, and kill the server without hearing its answer."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.served.port)) as connection:
            connection.sendall(head.encode() + body[:count])
            self.kill()

    def accepted(self, method, path):
        response = self.http.request(method, path)
        assert response.status_code == 202, response.text
        return httpx.URL(response.headers["Content-Location"]).path

    def done(self, place):
        response = self.http.get(place)
        assert response.status_code in {200, 202}, response.text
        return response if response.status_code == 200 else None

    def all(self, type_):
        bundle = self.http.get(f"/fhir/{type_}", params={"_count": 1000}).json()
        return [entry["resource"] for entry in bundle.get("entry", ())]

    def model_s_process(self):
        """Give the id of the process that runs the model, None where there is none yet."""
        for child in psutil.Process(self.served.process.pid).children(recursive=True):
            if any("spawn_main" in word for word in child.cmdline()):
                return child.pid
        return None

    def until(self, found):
        end = time.monotonic() + PATIENCE_S
        while not (answered := found()):
            assert time.monotonic() < end, "it never came"
            time.sleep(0.002)
        return answered

    def current(self):
        """Give every current resource there is, read off the history of everything."""
        newest, place = {}, "/fhir/_history?_count=500"
        while place:
            bundle = self.http.get(place).json()
            for entry in bundle.get("entry", ()):
                key = entry["request"]["url"] if "resource" not in entry else None
                resource = entry.get("resource") or {}
                newest.setdefault(key or f"{resource['resourceType']}/{resource['id']}", resource)
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            place = links.get("next", "").removeprefix(f"http://127.0.0.1:{self.served.port}")
        return [resource for resource in newest.values() if resource]


# --- comparing two ends ---


def named(resources):
    """Give a name for each id: the type, and the identifiers that are not made of ids."""
    known = {resource["id"] for resource in resources}
    names = {}
    for resource in resources:
        identifiers = resource.get("identifier", ())
        values = [one["value"] for one in identifiers if one.get("value") not in known]
        names[resource["id"]] = f"<{resource['resourceType']} {' '.join(sorted(values))}>"
    return names


def told(value, names, root):
    """Give a resource apart from ids, times and the address of the server."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in TIMES}
        return {k: told(v, names, root) for k, v in sorted(kept.items())}
    if isinstance(value, list):
        return [told(each, names, root) for each in value]
    if not isinstance(value, str):
        return value
    value = names.get(value, value).replace(root, "ROOT")
    return REFERENCE.sub(lambda m: f"{m[1]}/{names.get(m[2], m[2])}", value)


OTHERWISE = {"AuditEvent"}
"""What is another after a kill: it tells how often something was tried."""


def end_of(story, files):
    """Give the end of a story: how often each resource is there, as it is told; what was exported.

    Of what was exported no Tasks: the export's own is on its way while it is written.
    """
    resources = [one for one in story.current() if one["resourceType"] not in OTHERWISE]
    names, root = named(resources), f"127.0.0.1:{story.served.port}"
    state = Counter(json.dumps(told(each, names, root)) for each in resources)
    exported = {
        type_: sorted(json.dumps(told(each, names, root)) for each in found)
        for type_, found in files.items()
        if type_ not in {"Task", *OTHERWISE}
    }
    return state, exported


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("undisturbed"))
    end = end_of(story, story.play())
    story.close()
    return end


def test_the_story_is_whole(undisturbed):
    state, exported = undisturbed
    types = Counter(json.loads(text)["resourceType"] for text in state.elements())
    once = ("Patient", "Encounter", "ServiceRequest", "ImagingStudy", "Device", "DiagnosticReport",
            "ChargeItem", "Claim", "Coverage", "DocumentReference")  # fmt: skip
    assert {type_: types[type_] for type_ in once} == dict.fromkeys(once, 1)
    assert types["Observation"] > 5
    assert types["Task"] == 2
    assert max(state.values()) == 1
    (study,) = (json.loads(text) for text in state if '"resourceType": "ImagingStudy"' in text)
    assert study["subject"]["reference"].startswith("Patient/<Patient P1")
    assert study["basedOn"][0]["reference"].startswith("ServiceRequest/<ServiceRequest")
    assert {type_: len(found) for type_, found in exported.items()} == {
        type_: count for type_, count in types.items() if type_ != "Task"
    }


@pytest.mark.parametrize("delay", DELAYS)
def test_killed_at_each_point_it_goes_on_to_the_same_end(
    tmp_path, undisturbed, size, record_property, delay
):
    points = POINTS[: size(3, 10)]
    for number, point in enumerate(points):
        story = Story(tmp_path / str(number), point, delay)
        state, exported = end_of(story, story.play())
        story.close()
        assert story.kills == 1, point
        assert state - undisturbed[0] == Counter(), f"more than there should be: {point}"
        assert undisturbed[0] - state == Counter(), f"less than there should be: {point}"
        assert exported == undisturbed[1], point
    record_property(
        "proof",
        f"kill -9 at {len(points)} points of the story ({delay * 1000:g} ms after each): on restart it"
        " goes on to the same end, nothing doubled, nothing lost",
    )
