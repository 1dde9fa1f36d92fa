"""The FHIR door where the store fails: what a caller is told of it (FHIR R4 http.html#Status-Codes)."""

import httpx
import pytest

from fhir_server import app, asgi
from fhir_server.settings import load
from fhir_server.store.port import NotKept, OutcomeUnknown, StoreUnavailable

BASE = "http://test.example"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (StoreUnavailable("secret"), "closing or cannot be reached"),
        (OutcomeUnknown("secret"), "read, to know whether it was done"),
        (NotKept("secret"), "nothing was stored"),
    ],
)
async def test_a_store_that_fails_is_503_and_tells_what_may_have_been_done(
    tmp_path, monkeypatch, fault, sentence
):
    async def failing(*_request):
        raise fault

    monkeypatch.setattr("fhir_server.http.fhir.dispatch", failing)
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with app.installation(settings, BASE) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url=f"{BASE}/fhir/") as client:
            answered = await client.post("Patient", json={"resourceType": "Patient"})
    assert answered.status_code == 503
    [issue] = answered.json()["issue"]
    assert issue["code"] == "transient"
    assert sentence in issue["diagnostics"]
    assert "secret" not in answered.text
