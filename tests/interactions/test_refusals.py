"""Requests that random ones once broke the server with: each is refused with 400 and a sentence."""

import json

import pytest
from bodies import patient

REFUSED = [
    ("GET", "Patient?_has:Nonsense:subject:_id=1", None),
    ("GET", "Patient?_has:$x:_has:Observation:patient:code:x=1", None),
    ("GET", "Patient?_include=Nonsense:subject", None),
    ("GET", "Patient?_revinclude=nonsense:*", None),
    ("GET", "Observation?value-quantity=1e-400", None),
    ("GET", "Observation?value-quantity=lt1e400", None),
    ("PUT", "Patient?_id=a", patient({"reference": "Patient/a"})),
    ("PUT", "Patient?_id=a", patient([[[None]]])),
    ("PUT", "Patient?_id=a", patient("a/b")),
    ("PUT", "Patient/a\n", patient("a\n")),
]


@pytest.mark.parametrize(
    ("method", "url", "body"), REFUSED, ids=[str(n) for n in range(len(REFUSED))]
)
async def test_it_is_refused_with_400(door, method, url, body):
    await door.give("PUT", "Patient/p", patient("p"))
    refused = await door.call(method, url, body)
    assert refused.status == 400, refused.body
    assert json.loads(refused.body)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("depth", [100, 150, 260, 400])
async def test_nesting_without_end_is_refused(door, depth):
    for wrap in (lambda inner: {"extension": [inner]}, lambda inner: {"extension": inner}):
        body = {"url": "x", "valueString": "y"}
        for _ in range(depth):
            body = wrap(body)
        refused = await door.call("POST", "Patient", patient(contained=[body]))
        assert refused.status in {400, 422}, refused.body


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("method", [{}, [], None, 1, "get"])
async def test_an_entry_whose_method_is_none_is_told(door, kind, method):
    entry = {"request": {"method": method, "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    answered = await door.call("POST", "", bundle)
    assert b"Bundle.entry[0].request" in answered.body


@pytest.mark.parametrize("path", ["$_async", "$_async/x", "Patient/$_async"])
async def test_the_place_of_jobs_is_no_operation(door, path):
    assert (await door.call("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PROPFIND", "metadata", "GET, HEAD"),
        ("PUT", "", "GET, HEAD, POST"),
        ("GET", "Patient/_search", "POST"),
        ("PROPFIND", "Patient", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("POST", "Patient/p", "GET, HEAD, PUT, PATCH, DELETE"),
        ("PATCH", "Patient/p/_history/1", "GET, HEAD"),
        ("DELETE", "Patient/p/_history", "GET, HEAD"),
        ("POST", "metadata", "GET, HEAD"),
        ("PUT", "metadata?x=1", "GET, HEAD"),
        ("PUT", "_history", "GET, HEAD"),
        ("POST", "_history", "GET, HEAD"),
        ("GET", "_search", "POST"),
        ("DELETE", "Patient/_search", "POST"),
        ("PUT", "Patient/_search", "POST"),
    ],
)
async def test_a_method_that_does_not_apply_is_405_and_told_which_do(door, method, path, allow):
    refused = await door.call(method, path)
    assert (refused.status, refused.headers.get("Allow")) == (405, allow), refused.body


async def test_what_refuses_a_resource_comes_before_its_warnings(door):
    refused = await door.call("PUT", "Patient/p", patient("p", gender="nonsense", contact=[{}]))
    severities = [issue["severity"] for issue in json.loads(refused.body)["issue"]]
    assert severities[0] == "error"
    assert severities == sorted(severities)
