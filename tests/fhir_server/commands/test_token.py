"""hounsfield token."""

import httpx


def get(served, path, token):
    headers = {"Authorization": f"Bearer {token.strip()}"}
    return httpx.get(f"{served.base}/{path}", headers=headers).status_code


def test_the_token_opens_what_its_scope_says_and_nothing_else(hounsfield, served):
    ran = hounsfield("token", "--scope", "system/Patient.rs", "--data", served.data)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    assert get(served, "Patient", ran.out) == 200
    assert get(served, "Observation", ran.out) == 403
    assert get(served, "Patient", ran.out[:-8]) == 401


def test_a_token_that_has_ended_is_not_taken(hounsfield, served, monkeypatch):
    monkeypatch.setattr("smart_auth.operator_token.mint.__defaults__", (lambda: 1_000,))
    ran = hounsfield("token", "--scope", "system/*.rs", "--ttl", "60", "--data", served.data)
    assert get(served, "Patient", ran.out) == 401


def test_what_would_mean_nothing_is_refused(hounsfield):
    for arguments in (
        ("--scope", "patient/*.rs"),
        ("--scope", "user/*.rs"),
        ("--scope", "openid"),
        ("--scope", "system/*.rs", "--ttl", "0"),
        ("--scope", "system/*.rs", "--context", "https://elsewhere.example/ImagingStudy/1"),
        ("--scope", "patient/*.rs", "--patient", "Patient/1"),
    ):
        ran = hounsfield("token", *arguments)
        assert (ran.status, ran.out) == (1, ""), arguments
        assert "hounsfield: " in ran.err


def test_new_keys_are_told(hounsfield, tmp_path):
    first = hounsfield("token", "--scope", "system/*.rs")
    assert first.status == 0
    assert "no signing keys" in first.err
    assert hounsfield("token", "--scope", "system/*.rs").err == ""
    assert (tmp_path / "hounsfield-data/keys").stat().st_mode & 0o077 == 0


def test_keys_that_others_can_read_are_refused(hounsfield, tmp_path):
    hounsfield("token", "--scope", "system/*.rs")
    key = min((tmp_path / "hounsfield-data/keys").glob("*.pem"))
    key.chmod(0o644)
    ran = hounsfield("token", "--scope", "system/*.rs")
    assert (ran.status, ran.out) == (1, "")
    assert "chmod 600" in ran.err


def test_a_tenant_that_is_not_registered_could_not_be_meant(hounsfield):
    ran = hounsfield("token", "--scope", "system/*.rs", "--tenant", "nowhere")
    assert (ran.status, ran.out) == (2, "")
