"""Two patients, two tenants, a real server with SMART on: what the attacks are made on."""

import json
import re
import time

import httpx
from dicomweb import ROOT, ct
from served import Served

from fhir_server.command import within
from fhir_server.settings import Settings
from fhir_server.tenancy import DEFAULT, TENANTS
from smart_auth.access_token import AccessTokens, new_claims
from smart_auth.keys import KeyRing
from smart_auth.realm import realm
from smart_auth.records import Records
from smart_auth.users import Subject

BOB, GHOST, ALICE = "zqbob", "zqgho", "zqali"
"""What stands in all that is the other patient's, in what does not exist, and in one's own."""
STUDIES = {BOB: "90917", GHOST: "90918", ALICE: "90919"}
NORTH = "north"
ROLES = ("radiologist", "referrer", "clerk", "researcher", "administrator")
DOCTOR = "Practitioner/zqdoc"
FHIR = "application/fhir+json"
_LABEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def resources(who):
    """Give the record of a patient: every text and id in it names her."""
    patient = {"reference": f"Patient/{who}-1"}
    code = {"text": f"{who} secret", "coding": [{"system": "urn:x", "code": f"{who}-code"}]}
    key = [{"system": "urn:mrn", "value": f"{who}-mrn"}]
    name = [{"family": f"{who}family", "given": [who]}]
    made = [
        {"resourceType": "Patient", "id": "1", "identifier": key, "name": name},
        {"resourceType": "Encounter", "id": "1", "status": "finished", "subject": patient}
        | {"class": {"system": "urn:x", "code": who}},
        {"resourceType": "Observation", "id": "1", "status": "final", "code": code}
        | {"subject": patient, "valueString": who, "identifier": key},
        {"resourceType": "Observation", "id": "2", "status": "final", "code": code}
        | {"subject": patient, "category": [{"coding": [{"code": "laboratory"}]}]},
        {"resourceType": "Condition", "id": "1", "subject": patient, "code": code},
        {"resourceType": "ServiceRequest", "id": "1", "status": "active", "intent": "order"}
        | {"subject": patient, "code": code, "identifier": key},
        {"resourceType": "DiagnosticReport", "id": "1", "status": "final", "code": code}
        | {"subject": patient, "result": [{"reference": f"Observation/{who}-1"}]},
        {"resourceType": "Coverage", "id": "1", "status": "active", "beneficiary": patient}
        | {"payor": [patient], "subscriberId": who},
        {"resourceType": "Communication", "id": "1", "status": "completed", "subject": patient}
        | {"payload": [{"contentString": who}]},
        {"resourceType": "RelatedPerson", "id": "1", "patient": patient, "name": name},
        {"resourceType": "List", "id": "1", "status": "current", "mode": "working"}
        | {"subject": patient, "entry": [{"item": {"reference": f"Observation/{who}-1"}}]},
        {"resourceType": "Task", "id": "1", "status": "requested", "intent": "order"}
        | {"for": patient, "description": who},
        {"resourceType": "Device", "id": "1", "patient": patient, "serialNumber": who},
        {"resourceType": "Provenance", "id": "1", "recorded": "2026-01-01T00:00:00Z"}
        | {"target": [patient], "agent": [{"who": patient}]},
        {"resourceType": "Binary", "id": "1", "contentType": "text/plain", "data": "enFib2I="}
        | {"securityContext": patient},
        {"resourceType": "DocumentReference", "id": "1", "status": "current", "subject": patient}
        | {"content": [{"attachment": {"url": f"Binary/{who}-2", "title": who}}]},
        {"resourceType": "Binary", "id": "2", "contentType": "text/plain", "data": "enFib2I="},
        {"resourceType": "Appointment", "id": "1", "status": "proposed", "description": who}
        | {"participant": [{"actor": patient, "status": "accepted"}]},
        {"resourceType": "Consent", "id": "1", "status": "active", "patient": patient}
        | {
            "scope": {"coding": [{"code": "research"}]},
            "category": [code],
            "policyRule": {"coding": [{"code": "OPTIN"}]},
        },
    ]
    return [one | {"id": f"{who}-{one['id']}"} for one in made]


def focused():
    """Give Bob's Observation that has Alice in focus: it is not hers."""
    return {
        "resourceType": "Observation",
        "id": f"{BOB}-focus",
        "status": "final",
        "code": {"text": BOB},
        "subject": {"reference": f"Patient/{BOB}-1"},
        "focus": [{"reference": f"Patient/{ALICE}-1"}],
    }


def very_restricted():
    """Give Alice's Observation that only who is cleared for it sees."""
    return {
        "resourceType": "Observation",
        "id": f"{ALICE}-v",
        "meta": {"security": [{"system": _LABEL, "code": "V"}]},
        "status": "final",
        "code": {"text": "zqlabel"},
        "subject": {"reference": f"Patient/{ALICE}-1"},
    }


def ordered():
    """Give a doctor, and what makes Alice her patient."""
    return [
        {"resourceType": "Practitioner", "id": DOCTOR.partition("/")[2]},
        {
            "resourceType": "ServiceRequest",
            "id": f"{ALICE}-order",
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{ALICE}-1"},
            "requester": {"reference": DOCTOR},
        },
    ]


def refused():
    """Give Bob's Consent that keeps his record from the doctor."""
    return {
        "resourceType": "Consent",
        "id": f"{BOB}-no",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"text": "privacy"}],
        "patient": {"reference": f"Patient/{BOB}-1"},
        "policyRule": {"coding": [{"code": "OPTIN"}]},
        "provision": {
            "type": "deny",
            "actor": [{"role": {"text": "recipient"}, "reference": {"reference": DOCTOR}}],
        },
    }


class World:
    """The server, tokens for it, and a client."""

    def __init__(self, data):
        self.keys = KeyRing(data / "keys")
        self.served = Served(data, "--unresolved-references", "refuse", auth="smart")
        self.base = self.served.base.removesuffix("/fhir")
        self.client = httpx.Client(base_url=self.base, timeout=60)
        self.operator = self.token("system/*.cruds", sub="operator")

    def token(self, scope, patient=None, user=None, tenant="default", sub="someone"):
        """Give a token as the authorisation server would issue it."""
        claims = new_claims(
            realm("", tenant),
            time.time_ns() // 1_000_000,
            3_600,
            operator=True,
            sub=sub,
            client_id=f"client-of-{sub}",
            scope=scope,
            patient=patient,
            fhir_user=user,
        )
        return AccessTokens(self.keys).sign(claims)

    def ask(self, token, method, path, body=None, **headers):
        """Make a request; `path` is below the server's root."""
        sent = {"authorization": f"Bearer {token}"} if token else {}
        sent |= {"content-type": FHIR} | {k.replace("_", "-"): v for k, v in headers.items()}
        content = json.dumps(body) if isinstance(body, dict | list) else body
        return self.client.request(method, f"/{path}", content=content, headers=sent)

    def put(self, *made, tenant=""):
        """Write resources as the operator."""
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
            for r in made
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        token = self.token("system/*.cruds", tenant=tenant or "default")
        place = f"t/{tenant}/fhir" if tenant else "fhir"
        answered = self.ask(token, "POST", place, bundle)
        assert answered.status_code == 200, answered.text

    def stow(self, who):
        """Store a study of a patient, and make its ImagingStudy hers."""
        number = STUDIES[who]
        file = ct(study=number, PatientID=f"{who}-mrn", PatientName=f"{who}^X")
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--b--"
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        answered = self.client.post(
            "/dicom-web/studies",
            content=body,
            headers={"authorization": f"Bearer {self.operator}", "content-type": kind},
        )
        assert answered.status_code == 200, answered.text
        query = f"fhir/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{ROOT}.{number}"
        (entry,) = self.ask(self.operator, "GET", query).json()["entry"]
        study = entry["resource"]
        old = study["id"]
        study |= {"id": f"{who}-study", "subject": {"reference": f"Patient/{who}-1"}}
        study["description"] = f"{who} study"
        study["identifier"] = study["identifier"][:1]
        assert self.ask(self.operator, "DELETE", f"fhir/ImagingStudy/{old}").status_code < 300
        self.put(study)

    def close(self):
        self.client.close()
        self.served.kill()


def register(data):
    """Register the other tenant, and the roles of people, before the server starts."""

    async def work(house):
        documents = house.services.documents
        await documents.put(DEFAULT, TENANTS, NORTH, b"{}")
        subjects = Records(documents, "smart.subjects", Subject)
        for role in ROLES:
            await subjects.put(DEFAULT, f"a {role}", Subject(role))

    within(Settings(data=data), work, begins=True)


_VOLATILE = re.compile(
    r'"(?:lastUpdated|versionId|lastModified|timestamp|date|recorded)":"[^"]*"|W/\\?"\d+\\?"'
    r"|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|_cursor=[\w.~-]+|urn:uuid:[\w-]+"
)


def shape(answered):
    """Give status and body of an answer without what differs between any two answers."""
    text = answered.text
    for who, number in STUDIES.items():
        text = text.replace(who, "zqxxx").replace(number, "9xxxx") if who != ALICE else text
    return answered.status_code, _VOLATILE.sub("", text)


def told(answered):
    """Give all that an answer tells, without the repetition of what was asked: a Bundle's links."""
    headers = {k: v for k, v in answered.headers.items() if k != "content-location"}
    text = answered.text
    if '"Bundle"' in text:
        text = json.dumps(_without_links(answered.json()))
    return text + json.dumps(headers)


def _without_links(value):
    if isinstance(value, dict):
        return {k: _without_links(v) for k, v in value.items() if k != "link"}
    return [_without_links(one) for one in value] if isinstance(value, list) else value
