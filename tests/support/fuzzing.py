"""Requests at random, from a seed: methods, URLs, headers and bodies that are nearly right, or not at all."""

import copy
import gzip
import json
import random
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from resources import definitions

TYPES = ["Patient", "Observation", "ImagingStudy", "ServiceRequest", "Task", "Binary", "Bundle"]
TYPES += ["SearchParameter", "Subscription", "Basic", "Practitioner", "Nonsense", "patient", "$x"]
METHODS = ["GET"] * 10 + ["POST"] * 6 + ["PUT"] * 5 + ["DELETE"] * 2 + ["PATCH"] * 3
METHODS += ["HEAD", "OPTIONS", "TRACE", "QUERY", "get"]
IDS = [
    "a",
    "b",
    "c",
    "d",
    "1",
    "-",
    ".",
    "..",
    "x" * 64,
    "x" * 65,
    "_history",
    "_search",
    "ä",
    "a_b",
]
IDS += [
    "%00",
    "%ff",
    "%2e%2e%2f",
    "a%2fb",
    "$everything",
    "*",
    "0",
    "a b",
    "\u202e",
    "%F0%9F%92%A9",
]
WORDS = ["", "0", "1", "-1", "a", "Roe", "true", "null", "NaN", "1e400", "-0.0", "1e-400", "٣", "ſ"]
WORDS += ["2020", "2020-02-30", "2020-13", "0000", "9999-12-31T23:59:60Z", "ge2020", "zz2020", "ap"]
WORDS += [
    "|",
    "a|b",
    "|b",
    "a|",
    "a|b|c",
    "1|2|3",
    "\\",
    "a\\,b",
    ",",
    ",,",
    "a,b",
    "$",
    "\x00",
    "\ud7ff",
]
WORDS += [
    "Patient/a",
    "Patient/",
    "/a",
    "http://x/Patient/a",
    "urn:uuid:1",
    "x" * 3000,
    "💩",
    "'; --",
]
WORDS += [
    "9" * 400,
    "1." + "0" * 400,
    "2020-01-01T00:00:00+99:99",
    "lt1e999",
    "a:b:c",
    "%",
    "%zz",
    "*",
]
CONTROLS = [
    "_id",
    "_lastUpdated",
    "_count",
    "_sort",
    "_include",
    "_revinclude",
    "_summary",
    "_elements",
]
CONTROLS += [
    "_total",
    "_has:Observation:patient:code",
    "_cursor",
    "_format",
    "_pretty",
    "_since",
    "_at",
]
CONTROLS += [
    "_type",
    "mode",
    "_contained",
    "_query",
    "_text",
    "_filter",
    "_list",
    "_tag",
    "_security",
]
MODIFIERS = [
    "exact",
    "contains",
    "missing",
    "not",
    "in",
    "above",
    "identifier",
    "Patient",
    "x",
    "",
    "iterate",
]
TYPES_SENT = ["application/fhir+json"] * 12 + ["application/fhir+xml"] * 3
TYPES_SENT += [
    "application/json",
    "application/json-patch+json",
    "application/xml",
    "text/plain",
    "",
    "x",
]
TYPES_SENT += [
    "application/x-www-form-urlencoded",
    "multipart/related; boundary=b",
    "application/octet-stream",
]
HEADERS = {
    "Accept": [
        *TYPES_SENT,
        "*/*",
        "application/fhir+json; fhirVersion=5.0",
        "image/png",
        "*/*;q=x",
    ],
    "Prefer": [
        *("return=minimal", "return=OperationOutcome", "return=x", "handling=lenient"),
        *("handling=strict", "respond-async", "respond-async, handling=lenient", ";;,=", "wait=1"),
    ],
    "If-Match": ['W/"1"', '"2"', "1", "*", 'W/""', 'W/"' + "9" * 30 + '"', 'W/"x"'],
    "If-None-Match": ["*", 'W/"1"', ",", '"'],
    "If-Modified-Since": [
        "Sat, 21 Nov 2026 00:00:00 GMT",
        "x",
        "Sat, 99 Nov 2026 99:00:00 GMT",
        "",
    ],
    "If-None-Exist": ["identifier=a|1", "identifier=", "_count=1", "?", "a=b&c=d", "%", "name=Roe"],
    "Content-Encoding": ["gzip", "br", "gzip, gzip", ""],
    "Accept-Encoding": ["gzip", "gzip;q=0", "x", "*;q=x"],
    "Authorization": ["Bearer x", "Basic eDp5", "Bearer", "Bearer " + "a." * 50, "\xff"],
    "X-Request-Id": ["a", "x" * 300, "../..", "\xe4"],
    "Origin": ["http://localhost", "null", "x"],
    "X-Security-Context": ["Patient/a", "x"],
    "Range": ["bytes=0-1", "bytes=9-", "x"],
}
PLACES = ["/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics", "/nowhere", "/auth/token"]
PLACES += [
    "/t/none/fhir/Patient",
    "/t/default/fhir/Patient",
    "/t/%00/fhir",
    "/fhir//Patient",
    "/fhir/.",
]
PLACES += [
    "/fhir/.well-known/smart-configuration",
    "/dicom-web/studies",
    "/dicom-web/studies/1/series",
]
PLACES += [
    "/dicom-web/studies?limit=x",
    "/dicom-web/studies/1/metadata",
    "/fhir/metadata",
    "/auth/login",
]
LITERALS = [
    None,
    True,
    False,
    0,
    -1,
    1e308,
    1.5,
    "",
    "a",
    "x" * 500,
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    "💩",
]
LITERALS += [
    10**30,
    {"reference": "Patient/a"},
    {"resourceType": "Patient"},
    "2020-02-30",
    "\u0000",
    [{}] * 3,
]

COHERENT = {
    "POST": ["/{resourceType}"] * 3
    + ["", "", "", "/{resourceType}/_search", "/_search", "/$export"],
    "PUT": ["/{resourceType}/{id}"] * 4 + ["/{resourceType}?_id={id}"],
    "PATCH": ["/{resourceType}/{id}"] * 4 + ["/{resourceType}?_id={id}"],
    "DELETE": ["/{resourceType}/{id}", "/{resourceType}?_id={id}", "/Patient?name=Roe"],
}

PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "meta": {"tag": [{"system": "urn:t", "code": "x"}], "profile": ["http://x.example/p"]},
    "text": {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div>',
    },
    "identifier": [{"system": "urn:mrn", "value": "1"}],
    "name": [{"family": "Roe", "given": ["Jane"], "_given": [{"extension": []}]}],
    "birthDate": "1970-01-02",
    "deceasedBoolean": False,
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "managingOrganization": {"reference": "#o"},
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "b",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
    "subject": {"reference": "Patient/a"},
    "effectiveDateTime": "2020-01-02T03:04:05.678+01:00",
    "valueQuantity": {
        "value": 1.10,
        "unit": "g",
        "system": "http://unitsofmeasure.org",
        "code": "g",
    },
    "component": [{"code": {"text": "x"}, "valueString": "y"}],
}
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "c",
    "status": "available",
    "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
    "subject": {"reference": "Patient/a"},
    "started": "2020-01-02",
    "series": [{"uid": "1.2.3.4", "modality": {"code": "CT"}, "instance": []}],
}
PARAMETER = {
    "resourceType": "SearchParameter",
    "id": "d",
    "url": "http://x.example/sp",
    "name": "x",
    "status": "active",
    "description": "x",
    "code": "fuzzed",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension.where(url='x').value",
}
BINARY = {"resourceType": "Binary", "id": "a", "contentType": "text/plain", "data": "YQ=="}
TASK = {"resourceType": "Task", "id": "a", "status": "draft", "intent": "order"}
PARAMETERS = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Patient.birthDate"},
                {"name": "value", "valueDate": "2000-01-01"},
            ],
        }
    ],
}
PATCH = [
    {"op": "replace", "path": "/birthDate", "value": "1999-01-01"},
    {"op": "test", "path": "/id", "value": "a"},
]
RESOURCES = [PATIENT, OBSERVATION, STUDY, PARAMETER, BINARY, TASK, PARAMETERS]
XML = (
    '<Patient xmlns="http://hl7.org/fhir"><id value="a"/><name><family value="Roe"/></name>'
    '<birthDate value="1970-01-02"/></Patient>'
)


@dataclass
class Request:
    """One request as it goes over the wire."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def wire(self) -> bytes:
        """Give its bytes."""
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines).encode("utf-8", "surrogatepass")
        return head + b"\r\n\r\n" + self.body


class Fuzzer:
    """Makes requests; the same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        found = definitions.load().search_parameters
        self._codes = sorted({p.code for p in found if {"Resource", *TYPES} & set(p.base)})

    def request(self) -> Request:
        """Make one."""
        pick = self._random
        method = pick.choice(METHODS)
        target = pick.choice(PLACES) if pick.random() < 0.06 else self._target(method)
        headers = {
            name: pick.choice(values) for name, values in HEADERS.items() if pick.random() < 0.06
        }
        body = b""
        if method in {"POST", "PUT", "PATCH"} or pick.random() < 0.02:
            body = self._body(method, target, headers)
        return Request(method, target, headers, body)

    # --- URLs ---

    def _target(self, method: str) -> str:
        pick = self._random
        type_ = pick.choice(TYPES if pick.random() < 0.4 else TYPES[:8])
        id_ = pick.choice(IDS if pick.random() < 0.4 else IDS[:4])
        if method in COHERENT and pick.random() < 0.8:
            own = pick.choice(RESOURCES)
            forms = [f.format(**own) if own.get("id") else "/Patient" for f in COHERENT[method]]
            return "/fhir" + pick.choice(forms) + (self._query() if pick.random() < 0.2 else "")
        forms = [f"/{type_}", f"/{type_}/{id_}", f"/{type_}/{id_}", "", f"/{type_}/_search"]
        forms += [f"/{type_}/{id_}/_history", f"/{type_}/_history", "/_history", "/_search"]
        forms += [f"/{type_}/{id_}/_history/{pick.choice(WORDS[1:8])}", f"/Patient/{id_}/{type_}"]
        forms += [f"/{type_}/{id_}/*", f"/_async/{id_}", f"/{type_}/${id_}", "/$export", "/$_async"]
        forms += [f"/{type_}/{id_}/$purge", f"/{type_}/{id_}/$infer", "/metadata", f"/{id_}" * 6]
        path = pick.choice(forms)
        if method in {"GET", "HEAD"} and pick.random() < 0.4:
            path = pick.choice([f"/{type_}", f"/{type_}", "", f"/Patient/a/{type_}"])
        plain = path.isascii() and not any(c in path for c in ' "\x00')
        return "/fhir" + (path if plain else quote(path)) + self._query()

    def _query(self) -> str:
        pick = self._random
        if pick.random() < 0.35:
            return ""
        pairs = [(self._name(), self._word()) for _ in range(pick.choice([1, 1, 1, 2, 3, 6]))]
        if pick.random() < 0.05:
            return "?" + pick.choice(["&&&", "=", "%", "a=%ff", "a=%c0%80", "?", "a" * 9000])
        return "?" + urlencode([(n, v.encode("utf-8", "surrogatepass")) for n, v in pairs])

    def _name(self) -> str:
        pick = self._random
        code = pick.choice(self._codes if pick.random() < 0.6 else CONTROLS)
        if pick.random() < 0.25:
            code += ":" + pick.choice(MODIFIERS)
        if pick.random() < 0.15:
            code = f"{pick.choice(['subject', 'patient:Patient', 'x', 'performer'])}.{code}"
        if pick.random() < 0.03:
            return f"_has:{pick.choice(TYPES)}:{code}:{pick.choice(self._codes)}"
        if pick.random() < 0.03:
            code = "_has:Observation:subject:" * pick.choice([1, 3, 9]) + code
        return code

    def _word(self) -> str:
        pick = self._random
        if pick.random() < 0.15:
            return ",".join(pick.choice(WORDS) for _ in range(pick.choice([2, 3, 40])))
        return pick.choice(
            [*WORDS, "Patient:organization", "*", "Observation:subject", "-date", "count"]
        )

    # --- bodies ---

    def _body(self, method: str, target: str, headers: dict[str, str]) -> bytes:
        pick = self._random
        if pick.random() < 0.9:
            kind = "application/fhir+json"
            if method == "PATCH" and pick.random() < 0.6:
                kind = "application/json-patch+json"
            if "_search" in target:
                kind = "application/x-www-form-urlencoded"
            headers["Content-Type"] = kind if pick.random() < 0.9 else pick.choice(TYPES_SENT)
        body = self._content(headers.get("Content-Type", ""), target)
        if pick.random() < 0.05:
            body = self._torn(body)
        if headers.get("Content-Encoding") == "gzip" and pick.random() < 0.7:
            body = gzip.compress(body)
        return body

    def _content(self, kind: str, target: str) -> bytes:
        pick = self._random
        if "form" in kind:
            return self._query()[1:].encode()
        if "xml" in kind and pick.random() < 0.8:
            return self._torn(XML.encode()) if pick.random() < 0.5 else XML.encode()
        if "json-patch" in kind:
            return _json(self._mutated(PATCH))
        if "/fhir?" in target or target == "/fhir":
            return _json(self._bundle())
        if pick.random() < 0.01:
            return b'{"resourceType":"Patient","extension":' + b"[" * 100_000
        named = [r for r in RESOURCES if f"/{r['resourceType']}" in target]
        return _json(self._mutated(pick.choice(named or RESOURCES)))

    def _bundle(self) -> object:
        pick = self._random
        entries = []
        for _ in range(pick.choice([0, 1, 3, 8])):
            resource = self._mutated(pick.choice(RESOURCES))
            type_ = resource.get("resourceType") if isinstance(resource, dict) else "Patient"
            method = pick.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "x"])
            place = pick.choice(
                [f"{type_}", f"{type_}/a", f"{type_}?identifier=1", "metadata", "$export"]
            )
            entry = {"request": {"method": method, "url": place}, "resource": resource}
            if pick.random() < 0.3:
                entry["fullUrl"] = f"urn:uuid:{pick.randrange(3)}"
            if pick.random() < 0.2:
                entry["request"]["ifNoneExist"] = pick.choice(WORDS)
            if pick.random() < 0.2:
                entry["request"]["ifMatch"] = pick.choice(HEADERS["If-Match"])
            entries.append(self._mutated(entry) if pick.random() < 0.2 else entry)
        kind = pick.choice(["batch", "transaction", "transaction", "collection", "x"])
        return {"resourceType": "Bundle", "type": kind, "entry": entries}

    def _mutated(self, value: object) -> object:
        """Give a copy, in most cases with a few things wrong."""
        made = copy.deepcopy(value)
        for _ in range(self._random.choice([0, 0, 0, 1, 1, 2, 5])):
            made = self._wrong(made)
        return made

    def _wrong(self, value: object) -> object:
        pick = self._random
        if not isinstance(value, dict | list) or not value or pick.random() < 0.05:
            return copy.deepcopy(pick.choice(LITERALS))
        place = pick.choice(list(value)) if isinstance(value, dict) else pick.randrange(len(value))
        choice = pick.random()
        if choice < 0.5:
            value[place] = self._wrong(value[place])
        elif choice < 0.6:
            del value[place]
        elif choice < 0.7 and isinstance(value, dict):
            value[pick.choice(["x", "id", "_id", "extension", "value", "", "résumé"])] = value[
                place
            ]
        elif choice < 0.75:
            deep: object = value[place]
            for _ in range(pick.choice([1, 5, 60, 150])):
                deep = [deep] if pick.random() < 0.5 else {"extension": deep}
            value[place] = deep
        else:
            value[place] = copy.deepcopy(pick.choice(LITERALS))
        return value

    def _torn(self, body: bytes) -> bytes:
        pick, torn = self._random, bytearray(body)
        for _ in range(pick.choice([1, 2, 10])):
            if torn:
                place = pick.randrange(len(torn))
                torn[place : place + pick.choice([0, 1, 1, 20])] = pick.randbytes(
                    pick.choice([0, 1, 3])
                )
        return bytes(torn)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
