"""hounsfield export."""

import functools
import json

import httpx
import pytest

COUNT = 3


@pytest.fixture
def private(file, signing_key):
    """The private key of a client, in a file."""
    return file("key.json", json.dumps(signing_key.as_dict(private=True)).encode())


@pytest.fixture
def elsewhere(monkeypatch):
    """Answer the export's requests from a function, and keep them."""
    requests = []

    def answering(answer):
        def kept(request):
            requests.append(request)
            return answer(request)

        client = functools.partial(httpx.AsyncClient, transport=httpx.MockTransport(kept))
        monkeypatch.setattr(httpx, "AsyncClient", client)
        return requests

    return answering


def answer(request, *, count=2, body=b'{"resourceType":"Patient"}\n' * 2):
    """A bulk data server with one file of patients."""
    if request.url.path == "/fhir/$export":
        return httpx.Response(202, headers={"Content-Location": "https://ehr.example/status/1"})
    if request.url.path == "/status/1":
        output = [{"type": "Patient", "url": "https://ehr.example/f/1", "count": count}]
        manifest = {"transactionTime": "2026-01-02T03:04:05Z", "requiresAccessToken": False}
        return httpx.Response(200, json={**manifest, "output": output, "error": []})
    return httpx.Response(200, content=body)


def test_a_registered_client_fetches_what_the_server_has(
    hounsfield, served, signing_key, private, file, tmp_path
):
    data = ("--data", served.data)
    public = file("jwks.json", json.dumps({"keys": [signing_key.as_dict(private=False)]}).encode())
    assert hounsfield("client", "add", "--id", "bulk", "--jwks", public, *data).status == 0
    writer = hounsfield("token", "--scope", "system/*.cruds", *data).out.strip()
    for number in range(COUNT):
        httpx.put(
            f"{served.base}/Organization/o{number}",
            json={"resourceType": "Organization", "id": f"o{number}", "name": "North"},
            headers={"Authorization": f"Bearer {writer}"},
        ).raise_for_status()
    out = tmp_path / "out"
    ran = hounsfield(
        "export", "--base", served.base, "--out", out, "--type", "Organization,Patient",
        "--client", "bulk", "--key", private,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    lines = (out / "Organization.ndjson").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == ["o0", "o1", "o2"]
    (row,) = [line.split() for line in ran.out.splitlines() if "Organization.ndjson" in line]
    assert row[:4] == ["Organization.ndjson", "Organization", "3", "3"]
    assert not list(out.glob("*.part"))


def test_a_token_from_elsewhere_is_used_and_without_one_it_is_told_what_is_wanted(
    hounsfield, served, tmp_path, monkeypatch
):
    arguments = ("export", "--base", served.base, "--out", tmp_path / "out", "--type", "Basic")
    ran = hounsfield(*arguments)
    assert ran.status == 1
    assert "access token" in ran.err
    token = hounsfield("token", "--scope", "system/*.rs", "--data", served.data).out.strip()
    assert hounsfield(*arguments, "--token", token).status == 0
    narrow = hounsfield("token", "--scope", "system/Patient.rs", "--data", served.data).out.strip()
    monkeypatch.setenv("HOUNSFIELD_TOKEN", narrow)
    refused = hounsfield(*arguments)
    assert refused.status == 1
    assert "403" in refused.err


def test_a_file_that_is_short_keeps_its_part_and_is_1(hounsfield, elsewhere, tmp_path):
    elsewhere(functools.partial(answer, count=3))
    ran = hounsfield("export", "--base", "https://ehr.example/fhir", "--out", tmp_path / "out")
    assert ran.status == 1
    assert "short" in ran.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Patient.ndjson.part"]


def test_a_whole_file_is_0(hounsfield, elsewhere, tmp_path):
    requests = elsewhere(answer)
    ran = hounsfield(
        "export", "--base", "https://ehr.example/fhir/", "--out", tmp_path / "out",
        "--type", "Patient", "--type", "Device", "--since", "2026-01-01T00:00:00+01:00",
    )  # fmt: skip
    assert ran.status == 0
    assert "2026-01-02T03:04:05Z" in ran.out
    assert requests[0].headers["prefer"] == "respond-async"
    query = dict(requests[0].url.params)
    assert query == {"_type": "Patient,Device", "_since": "2026-01-01T00:00:00+01:00"}
    assert (tmp_path / "out/Patient.ndjson").read_bytes() == b'{"resourceType":"Patient"}\n' * 2


def test_what_cannot_begin_is_2(hounsfield, file, private, tmp_path):
    arguments = ("export", "--base", "http://127.0.0.1:9/fhir", "--out", tmp_path / "out")
    for wrong in (
        ("--client", "x"),
        ("--key", private),
        ("--client", "x", "--key", file("none.json", b"{}")),
        ("--client", "x", "--key", file("public.pem", b"-----BEGIN PUBLIC KEY-----\n")),
        ("--client", "x", "--key", "nowhere"),
    ):
        ran = hounsfield(*arguments, *wrong)
        assert (ran.status, ran.out) == (2, ""), wrong
