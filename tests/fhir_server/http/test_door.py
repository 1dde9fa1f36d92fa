"""The FHIR door's headers, methods and encodings, at a server (RFC 9110, 8259, 5789, 3986)."""

import httpx
import pytest
from served import Served

JSON = {"content-type": "application/fhir+json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
MARK = b"\xef\xbb\xbf"
PATIENT = {"resourceType": "Patient", "id": "p1", "active": True}
ORIGIN = {"origin": "http://localhost:3000"}


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("data"))
    with httpx.Client(base_url=f"{served.base}/") as client:
        assert client.put("Patient/p1", json=PATIENT).status_code == 201
        yield client
    assert served.stop() == 0


def bundle(type_, method, url, **more):
    request = {"method": method, "url": url, **more}
    resource = {"resource": {"resourceType": "Patient"}} if method in {"POST", "PUT"} else {}
    return {"resourceType": "Bundle", "type": type_, "entry": [{"request": request, **resource}]}


@pytest.mark.parametrize("broken", ["%zz", "100%", "%4", "a%%41", "%FF"])
def test_a_query_that_is_no_percent_encoded_utf8_is_refused_wherever_it_comes(http, broken):
    there = f"Patient?_id=p1&name={broken}"
    condition = f"identifier=http://x|{broken}"
    linked = {"resourceType": "Observation", "subject": {"reference": f"Patient?{condition}"}}
    in_reference = bundle("transaction", "POST", "Observation")
    in_reference["entry"][0]["resource"] = linked
    answers = {
        "search": http.get(httpx.URL(f"{http.base_url}{there}")),
        "form": http.post("Patient/_search", content=f"name={broken}", headers=FORM),
        "create": http.post("Patient", json=PATIENT, headers={"if-none-exist": condition}),
        "update": http.put(httpx.URL(f"{http.base_url}{there}"), json=PATIENT),
        "delete": http.delete(httpx.URL(f"{http.base_url}{there}")),
        "transaction": http.post("", json=bundle("transaction", "GET", there)),
        "in it": http.post(
            "", json=bundle("transaction", "POST", "Patient", ifNoneExist=condition)
        ),
        "reference": http.post("", json=in_reference),
    }
    refused = {name: answer.status_code for name, answer in answers.items()}
    assert refused == dict.fromkeys(answers, 400)
    for url in (there, f"Patient/{broken}"):
        (entry,) = http.post("", json=bundle("batch", "GET", url)).json()["entry"]
        assert entry["response"]["status"] == "400"
    assert http.get("Patient?_total=accurate&_summary=count").json()["total"] == 1


def test_what_is_encoded_is_read(http):
    for encoded in ("%70%31", "p%31", "p1"):
        assert (
            len(http.get(httpx.URL(f"{http.base_url}Patient?_id={encoded}")).json()["entry"]) == 1
        )
        found = http.post("Patient/_search", content=f"_id={encoded}", headers=FORM).json()
        assert len(found["entry"]) == 1


def test_a_byte_order_mark_before_json_is_passed_over(http):
    made = http.put(
        "Patient/mark", content=MARK + b'{"resourceType":"Patient","id":"mark"}', headers=JSON
    )
    assert made.status_code == 201, made.text
    patch = MARK + b'[{"op":"add","path":"/active","value":false}]'
    kind = {"content-type": "application/json-patch+json"}
    assert http.patch("Patient/mark", content=patch, headers=kind).json()["active"] is False
    batch = MARK + b'{"resourceType":"Bundle","type":"batch","entry":[]}'
    assert http.post("", content=batch, headers=JSON).status_code == 200
    validated = MARK + b'{"resourceType":"Patient"}'
    assert http.post("Patient/$validate", content=validated, headers=JSON).status_code == 200
    twice = http.put("Patient/mark", content=MARK + MARK + b"{}", headers=JSON)
    assert twice.status_code == 400


def test_a_byte_order_mark_of_a_content_stays(http):
    text = MARK + b"text"
    made = http.post("Binary", content=text, headers={"content-type": "text/plain"})
    given = http.get(f"Binary/{made.json()['id']}", headers={"accept": "text/plain"})
    assert given.content == text


@pytest.mark.parametrize(
    "path",
    [
        "metadata",
        "Patient",
        "Patient/p1",
        "Patient/p1/_history",
        "Patient/p1/$everything",
        "$packages",
        "Patient?name=nobody",
    ],
)
def test_head_is_where_get_is_and_has_no_body(http, path):
    get, head = http.get(path), http.head(path)
    assert get.status_code == head.status_code == 200, head.headers
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    batch = bundle("batch", "HEAD", path)
    if path != "metadata":
        (entry,) = http.post("", json=batch).json()["entry"]
        assert entry["response"]["status"] == "200"
        assert "resource" not in entry


def test_head_is_not_where_get_is_not(http):
    for path, allow in (
        ("Patient/p1/$purge", "POST"),
        ("Patient/p1/$everything", "GET, HEAD, POST"),
    ):
        refused = http.delete(path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allow)
    assert http.head("Patient/p1/$purge").status_code == 405


def test_head_may_be_answered_later_as_a_read_is(http):
    accepted = http.head("Patient/p1", headers={"prefer": "respond-async"})
    assert (accepted.status_code, accepted.content) == (202, b"")
    for _ in range(200):
        answered = http.get(accepted.headers["content-location"])
        if answered.status_code != 202:
            break
    (entry,) = answered.json()["entry"]
    assert entry["response"]["status"] == "200"
    assert "resource" not in entry


def test_a_preflight_allows_the_methods_that_there_are_and_an_answer_shows_its_headers(http):
    asked = {**ORIGIN, "access-control-request-method": "PATCH"}
    allowed = http.options("Patient/p1", headers=asked).headers["access-control-allow-methods"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
    assert (
        http.options(
            "Patient/p1", headers={**asked, "access-control-request-method": "QUERY"}
        ).status_code
        == 400
    )
    for path in ("Patient/p1", "", "../livez"):
        shown = http.get(path, headers=ORIGIN).headers["access-control-expose-headers"]
        assert {"WWW-Authenticate", "Allow", "ETag"} <= set(shown.split(", ")), path
    plain = http.get("Patient/p1").headers["vary"]
    assert plain == http.get("Patient/p1", headers=ORIGIN).headers["vary"]
    assert "origin" in plain


def test_what_is_not_read_is_refused_with_what_is(http):
    kind = {"content-type": "text/csv"}
    patched = http.patch("Patient/p1", content=b"x", headers=kind)
    assert patched.status_code == 415
    assert patched.headers["accept-patch"].split(", ")[0] == "application/json-patch+json"
    assert "JSON Patch" in patched.json()["issue"][0]["diagnostics"]
    listed = http.patch("Patient/p1", content=b"[]", headers=JSON)
    assert (listed.status_code, listed.headers["accept-patch"]) == (
        415,
        patched.headers["accept-patch"],
    )
    packed = http.post("Patient", content=b"{}", headers={**JSON, "content-encoding": "br"})
    assert (packed.status_code, packed.headers["accept-encoding"]) == (415, "gzip")
    sent = http.post("Patient", content=b"x", headers=kind)
    assert sent.headers["accept"] == "application/fhir+json, application/fhir+xml"
    for given in (kind, JSON):
        searched = http.post("Patient/_search", content=b"{}", headers=given)
        assert (searched.status_code, searched.headers["accept"]) == (415, FORM["content-type"])


@pytest.mark.parametrize(
    "query", ["_format=json&_format=json", "_format=xml&_format=json", "_pretty=true&_pretty=false"]
)
def test_how_an_answer_is_written_is_said_once(http, query):
    assert http.get(f"Patient/p1?{query}").status_code == 400
    assert http.get(f"metadata?{query}").status_code == 400
    assert http.post("Patient/_search", content=query, headers=FORM).status_code == 400
    first = query.partition("&")[0]
    both = http.post(f"Patient/_search?{first}", content="_format=json", headers=FORM)
    assert both.status_code == 200


def test_the_mode_of_the_statement_is_said_once(http):
    assert http.get("metadata?mode=normative").status_code == 200
    assert http.get("metadata?mode=full&mode=normative").status_code == 400


@pytest.mark.parametrize(
    "given",
    [
        "urn:uuid:6a0c3f9e-1f5d-4f0e-9d61-0c1a2b3c4d5e",
        "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8",
        "a+b/c==",
        'x<script>"\\',
        "x" * 128,
    ],
)
def test_a_request_id_of_visible_characters_comes_back(http, given):
    for path in ("Patient/p1", "../dicom-web/studies"):
        answered = http.get(path, headers={"x-request-id": given})
        assert answered.headers["x-request-id"] == given, path


@pytest.mark.parametrize("given", ["x" * 129, "a b", "tab\tbed", b"\xe4", ""])
def test_another_request_id_is_replaced(http, given):
    for path in ("Patient/p1", "../dicom-web/studies"):
        told = http.get(path, headers={"x-request-id": given}).headers["x-request-id"]
        assert len(told) == 32, path
        assert told.isalnum(), path
