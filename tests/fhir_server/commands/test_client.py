"""hounsfield client."""

import asyncio
import json

import httpx
import pytest

from fhir_server.bulk.bearer import Assertion, NoToken, SigningKey

CALLBACK = "https://viewer.example/callback"


@pytest.fixture
def jwks(file, signing_key):
    """The public key set of a client, in a file."""
    public = {"keys": [signing_key.as_dict(private=False)]}
    return file("jwks.json", json.dumps(public).encode())


def test_a_secret_is_printed_when_it_is_made_and_never_again(hounsfield):
    added = hounsfield("client", "add", "--id", "viewer", "--secret", "--redirect-uri", CALLBACK)
    assert added.status == 0
    (line,) = [line for line in added.out.splitlines() if line.startswith("secret: ")]
    secret = line.removeprefix("secret: ")
    assert len(secret) >= 40
    for listed in (hounsfield("client", "list"), hounsfield("client", "list", "--json")):
        assert "viewer" in listed.out
        assert secret not in listed.out
        assert "argon2" not in listed.out


def test_json_has_the_words_of_rfc_7591(hounsfield):
    ran = hounsfield(
        "client", "add", "--id", "viewer", "--name", "Viewer", "--secret", "--json",
        "--redirect-uri", CALLBACK, "--redirect-uri", "http://127.0.0.1:9/callback",
        "--scope", "openid patient/ImagingStudy.rs", "--launch-uri", "https://viewer.example/go",
    )  # fmt: skip
    told = json.loads(ran.out)
    assert told.pop("client_secret")
    assert told.pop("client_id_issued_at") > 1_700_000_000
    assert told == {
        "client_id": "viewer",
        "client_name": "Viewer",
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": [CALLBACK, "http://127.0.0.1:9/callback"],
        "scope": "openid patient/ImagingStudy.rs",
        "launch_uri": "https://viewer.example/go",
    }


def test_a_client_without_keys_and_secret_is_public(hounsfield):
    ran = hounsfield("client", "add", "--id", "app", "--redirect-uri", CALLBACK, "--json")
    assert json.loads(ran.out)["token_endpoint_auth_method"] == "none"


def test_a_taken_id_and_what_cannot_be_registered_are_refused(hounsfield, file):
    assert hounsfield("client", "add", "--id", "app", "--redirect-uri", CALLBACK).status == 0
    again = hounsfield("client", "add", "--id", "app", "--redirect-uri", CALLBACK)
    assert (again.status, again.out) == (1, "")
    assert "already a client app" in again.err
    none = file("none.json", b"[]")
    for wrong in (
        ("--redirect-uri", "javascript:alert(1)"),
        ("--redirect-uri", CALLBACK, "--scope", "patient/*.zz"),
        ("--jwks", none),
        ("--jwks", "nowhere.json"),
        (),
    ):
        refused = hounsfield("client", "add", "--id", "other", *wrong)
        assert (refused.status, refused.out) == (1, ""), wrong
    assert "other" not in hounsfield("client", "list").out


def test_two_ways_to_authenticate_are_refused(hounsfield, jwks):
    with pytest.raises(SystemExit) as ended:
        hounsfield("client", "add", "--id", "x", "--secret", "--jwks", jwks)
    assert ended.value.code == 2


def test_a_tenant_that_is_not_registered_could_not_be_meant(hounsfield):
    assert hounsfield("tenant", "add", "north").status == 0
    ran = hounsfield("client", "list", "--tenant", "nowhere")
    assert ran.status == 2
    assert "no tenant nowhere" in ran.err


def test_a_service_registered_beside_a_running_server_gets_tokens_until_it_is_removed(
    hounsfield, served, signing_key, jwks
):
    data = ("--data", served.data)
    assert hounsfield("client", "add", "--id", "nightly", "--jwks", jwks, *data).status == 0

    async def token():
        async with httpx.AsyncClient() as http:
            key = SigningKey(signing_key, "k1")
            return await Assertion(http, served.base, "nightly", key).token()

    bearer = {"Authorization": f"Bearer {asyncio.run(token())}"}
    assert httpx.get(f"{served.base}/Patient", headers=bearer).status_code == 200
    assert hounsfield("client", "remove", "nightly", *data).status == 0
    assert hounsfield("client", "remove", "nightly", *data).status == 1
    with pytest.raises(NoToken, match="refused with 40"):
        asyncio.run(token())


def test_an_ehr_may_launch_and_needs_a_proof(hounsfield):
    added = hounsfield("client", "add", "--id", "ehr", "--secret", "--launches")
    assert added.status == 0
    assert "secret: " in added.out
    refused = hounsfield("client", "add", "--id", "open", "--public", "--launches")
    assert refused.status == 1


def test_an_invitation_is_a_token_of_one_line(hounsfield):
    first, second = (hounsfield("client", "invite").out.strip() for _ in range(2))
    assert len(first) >= 43
    assert first != second
