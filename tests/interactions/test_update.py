"""Interaction update: the ids that a client may choose (FHIR R4 http.html#upsert, RFC 3986 3.3)."""

import base64
import json

import pytest
from bodies import patient
from msgspec.structs import replace

from fhir_server.interactions import put_many
from resources.outcome import Invalid

NO_PLACES = (".", "..")


def transaction(url, id_):
    entry = {"request": {"method": "PUT", "url": url}, "resource": patient(id_)}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


@pytest.mark.parametrize("id_", NO_PLACES)
async def test_what_a_url_resolves_away_is_no_id(door, id_):
    answers = [
        await door.call("PUT", f"Patient/{id_}", patient(id_)),
        await door.call("PUT", f"Binary/{id_}", {"resourceType": "Binary", "id": id_}),
        await door.call("PUT", "Patient?family=Rho", patient(id_)),
        await door.call("POST", "", transaction(f"Patient/{id_}", id_)),
        await door.call("POST", "", transaction("Patient?family=Rho", id_)),
    ]
    assert [answered.status for answered in answers] == [400] * 5
    assert "'..'" in json.loads(answers[0].body)["issue"][0]["diagnostics"]
    batch = await door.give("POST", "", transaction(f"Patient/{id_}", id_) | {"type": "batch"})
    assert batch["entry"][0]["response"]["status"] == "400"
    assert await door.context.services.store.position() == 0


async def test_it_is_not_loaded_either(door):
    ours = replace(door.context, keep_unchanged=True)
    for id_ in NO_PLACES:
        with pytest.raises(Invalid):
            put_many.prepared(ours, patient(id_), "other")


async def test_other_ids_with_dots_are_ids(door):
    for id_ in ("...", ".a", "a.", "-", "1.2.840"):
        made = await door.call("PUT", f"Patient/{id_}", patient(id_))
        assert made.status == 201, id_
        assert (await door.give("GET", f"Patient/{id_}"))["id"] == id_


EVENT = {
    "resourceType": "AuditEvent",
    "id": "e1",
    "type": {"code": "rest"},
    "recorded": "2021-01-01T10:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": {"display": "x"}},
}
PATCHED = [{"op": "add", "path": "/language", "value": "en"}]


async def test_an_audit_event_may_be_created_by_an_update(door):
    created = await door.call("PUT", "AuditEvent/e1", EVENT)
    assert created.status == 201
    assert (await door.call("PUT", "AuditEvent/e1", EVENT)).status == 405
    put = {"request": {"method": "PUT", "url": "AuditEvent/e2"}, "resource": {**EVENT, "id": "e2"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [put]}
    assert (await door.call("POST", "", bundle)).status == 200
    assert (await door.call("POST", "", bundle)).status == 405
    assert sorted(await door.ids("AuditEvent")) == ["e1", "e2"]


async def test_an_audit_event_is_altered_through_no_door(door):
    created = await door.give("POST", "AuditEvent", EVENT)
    place = f"AuditEvent/{created['id']}"
    patch = {"content_type": "application/json-patch+json"}
    stays = {**EVENT, "id": created["id"]}
    for method, url, body, headers, allow in (
        ("PUT", place, stays, {}, "GET, HEAD"),
        ("PUT", "AuditEvent?_id=e1", EVENT, {}, "GET, HEAD, POST"),
        ("PUT", f"AuditEvent?_id={created['id']}", stays, {}, "GET, HEAD, POST"),
        ("PATCH", place, PATCHED, patch, "GET, HEAD, PUT"),
        ("PATCH", "AuditEvent/nobody", PATCHED, patch, "GET, HEAD, PUT"),
        ("PATCH", "AuditEvent?_id=nobody", PATCHED, patch, "GET, HEAD, POST"),
        ("DELETE", place, None, {}, "GET, HEAD, PUT"),
        ("DELETE", "AuditEvent?_id=nobody", None, {}, "GET, HEAD, POST"),
        ("OPTIONS", place, None, {}, "GET, HEAD, PUT"),
        ("OPTIONS", "AuditEvent", None, {}, "GET, HEAD, POST"),
    ):
        refused = await door.call(method, url, body, **headers)
        assert (refused.status, refused.headers) == (405, {"Allow": allow}), (method, url)
        if method == "OPTIONS":
            continue
        resource = {} if body is None else {"resource": body}
        if method == "PATCH":
            data = base64.b64encode(json.dumps(body).encode()).decode()
            resource = {"resource": {"resourceType": "Binary", "data": data}}
            resource["resource"]["contentType"] = patch["content_type"]
        entry = {**resource, "request": {"method": method, "url": url}}
        for kind in ("batch", "transaction"):
            bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
            told = await door.call("POST", "", bundle)
            status = told.status
            if kind == "batch":
                status = int(json.loads(told.body)["entry"][0]["response"]["status"][:3])
            assert status == 405, (kind, method, url)
    assert (await door.give("GET", place))["meta"]["versionId"] == "1"
    assert await door.ids("AuditEvent") == [created["id"]]


async def test_our_own_edges_put_audit_events(door):
    ours = type(door)(replace(door.context, keep_unchanged=True))
    for _ in range(2):
        await ours.give("PUT", "AuditEvent/e1", EVENT)
    assert (await door.give("GET", "AuditEvent/e1"))["meta"]["versionId"] == "1"
