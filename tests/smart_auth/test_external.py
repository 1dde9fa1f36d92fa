"""An OpenID provider outside vouches for users, and its access tokens are taken: a second server of ours."""

import copy
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette

from resources.outcome import Unauthorised
from smart_auth.access_token import AccessTokens, Claims
from smart_auth.clients import Registration, add_client
from smart_auth.issuers import Issuer, read
from smart_auth.keys import KeyRing
from smart_auth.launch import NoPatients
from smart_auth.routes import routes
from smart_auth.smart import Ports, Smart
from smart_auth.users import add_user, list_users, remove_user

BASE = "http://127.0.0.1:8080"
OUTSIDE = "http://idp.example"
STAFF = "https://hospital.example/staff"
MRN = "https://hospital.example/mrn"
CALLBACK = f"{BASE}/auth/external/hospital/callback"
RS = frozenset("rs")
HERE = {
    ("Practitioner", f"{STAFF}|d77"): "p-here",
    ("Patient", f"{MRN}|A1"): "ann",
    ("Practitioner", "d77"): "d77",
}


def told(access):
    return [(grant.type, grant.letters, grant.patient) for grant in access.grants]


class Directory:
    """Our resources by identifier or id; what was asked is kept."""

    def __init__(self):
        self.asked = []

    async def find(self, tenant, type_, query):
        ((_, value),) = query
        self.asked.append((tenant, type_, value))
        id_ = HERE.get((type_, value))
        return [{"resourceType": type_, "id": id_}] if id_ else []


@pytest.fixture(scope="module")
def outside_ring(tmp_path_factory):
    return KeyRing(tmp_path_factory.mktemp("outside"))


class Outside:
    """The provider, and how many requests reached it."""

    def __init__(self, smart, secret_file):
        self.smart = smart
        self.app = Starlette(routes=routes(smart))
        self.secret_file = secret_file
        self.down = False
        self.requests = []
        self.tamper = lambda request: None

    def http(self):
        transport = httpx.ASGITransport(self.app)

        async def seen(request):
            self.requests.append(request.url.path)
            if self.down:
                raise httpx.ConnectError("down")
            self.tamper(request)

        return httpx.AsyncClient(transport=transport, event_hooks={"request": [seen]})

    def browser(self, world):
        built = world.browser()
        built.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=OUTSIDE)
        return built


@pytest.fixture
async def outside(world, outside_ring, tmp_path):
    """A second installation of ours, with its own users, keys and clients."""
    documents = copy.copy(world.documents)
    documents.held = {}
    smart = Smart(documents, outside_ring, OUTSIDE, Ports(NoPatients(), clock=world.clock))
    await add_user(documents, "default", "dora", "Practitioner/d77", "correct horse")
    await add_user(documents, "default", "newby", "Practitioner/none", "correct horse")
    scopes = "openid fhirUser user/*.cruds patient/*.rs"
    us = Registration("us", "secret", redirect_uris=(CALLBACK,), scopes=scopes)
    _, secret = await add_client(documents, "default", us)
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    return Outside(smart, str(file))


def issuer(outside, **changes):
    right = {
        "name": "hospital",
        "url": OUTSIDE,
        "title": "Hospital",
        "login": True,
        "client_id": "us",
        "client_secret_file": outside.secret_file,
        "fhir_url": f"{OUTSIDE}/fhir",
        "role": "radiologist",
    }
    return Issuer(**(right | changes))


@pytest.fixture
def here(another, outside):
    """Our installation, trusting the provider as the test says."""

    def made(**changes):
        world = another(
            issuers=[issuer(outside, **changes)], identities=Directory(), http=outside.http
        )
        outside.smart.clock.ms = world.clock.ms
        return world

    return made


async def walk(world, outside, user="dora", path="/auth/login?next=/auth/second-factor"):
    """Follow the link of the login page to the provider, log in there, come back; give the last page."""
    browser = world.browser()
    page = await browser.get(path)
    assert "Log in with Hospital" in page.text
    left = await browser.http.get("/auth/external/hospital?next=/auth/second-factor")
    assert left.status_code == 303
    there = outside.browser(world)
    page = await there.get(left.headers["location"])
    page = await there.log_in(page, user)
    back = await there.submit(page, decision="allow")
    assert back.headers["location"].startswith(CALLBACK)
    return browser, left.headers["location"], back.headers["location"]


async def test_a_person_of_the_provider_logs_in_as_ours(here, outside):
    world = here()
    browser, _, back = await walk(world, outside)
    page = await browser.get(back)
    assert "Second factor" in page.text
    (user,) = [u for u in await list_users(world.documents, "default") if u.issuer]
    assert (user.fhir_user, user.role, user.issuer) == (
        "Practitioner/d77",
        "radiologist",
        "hospital",
    )
    assert await world.smart.users.authenticate("default", user.name, "") is None


async def test_she_is_the_same_user_next_time(here, outside):
    world = here()
    for _ in range(2):
        browser, _, back = await walk(world, outside)
        await browser.get(back)
    assert len([u for u in await list_users(world.documents, "default") if u.issuer]) == 1


async def test_she_is_found_by_an_identifier(here, outside):
    changes = {"user_by": "identifier", "user_system": STAFF, "user_claim": "staff"}
    world = here(**changes)
    provider = world.smart.external.provider("default", "hospital")
    claims = {"staff": "d77"}
    found = await world.smart.external.user(provider.issuer, world.smart.realm(), claims)
    assert found == "Practitioner/p-here"
    for claims in ({"staff": "x"}, {"staff": 7}, {}):
        assert not await world.smart.external.user(provider.issuer, world.smart.realm(), claims)


async def test_whom_nobody_stands_for_is_not_logged_in(here, outside):
    world = here()
    browser, _, back = await walk(world, outside, "newby")
    page = await browser.get(back)
    assert page.status_code == 403
    assert "Nobody on this server" in page.text
    assert not [u for u in await list_users(world.documents, "default") if u.issuer]


async def test_the_request_has_state_nonce_and_pkce(here, outside):
    _, there, _ = await walk(here(), outside)
    asked = dict(parse_qsl(urlsplit(there).query))
    assert asked["code_challenge_method"] == "S256"
    assert asked["aud"] == f"{OUTSIDE}/fhir"
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) >= 43


async def test_an_answer_is_taken_once_and_from_the_browser_that_asked(here, outside):
    world = here()
    browser, _, back = await walk(world, outside)
    stranger = await world.browser().get(back)
    assert stranger.status_code == 403
    await browser.get(back)
    assert (await browser.get(back)).status_code == 403


async def test_the_answer_of_another_issuer_is_refused(here, outside):
    world = here()
    browser, _, back = await walk(world, outside)
    mixed = back.replace("iss=http%3A%2F%2Fidp.example", "iss=https%3A%2F%2Fevil.example")
    assert mixed != back
    page = await browser.get(mixed)
    assert page.status_code == 403
    assert "another provider" in page.text


@pytest.mark.parametrize("query", ["", "?state=x&code=y", "?error=access_denied&state=x"])
async def test_an_answer_to_nobodys_question_is_refused(here, query):
    world = here()
    page = await world.browser().get(f"/auth/external/hospital/callback{query}")
    assert page.status_code == 403


async def test_an_unknown_provider_is_not_there(here):
    world = here(login=False, tokens="off")
    for path in ("/auth/external/hospital", "/auth/external/hospital/callback?code=x&state=y"):
        assert (await world.http.get(path)).status_code == 404
    assert "Log in with" not in (await world.http.get("/auth/login")).text


async def test_a_provider_that_is_down_is_told(here, outside):
    world = here()
    outside.down = True
    page = await world.browser().get("/auth/external/hospital")
    assert page.status_code == 403


async def test_a_wrong_code_is_refused(here, outside):
    world = here()
    browser, _, back = await walk(world, outside)
    page = await browser.get(back.replace("code=", "code=x"))
    assert page.status_code == 403


async def test_removing_the_account_ends_the_session(here, outside):
    world = here()
    browser, _, back = await walk(world, outside)
    await browser.get(back)
    (user,) = [u for u in await list_users(world.documents, "default") if u.issuer]
    await remove_user(world.documents, "default", user.name)
    page = await browser.get("/auth/second-factor")
    assert "Log in" in page.text


# --- tokens of issuers outside ---


def outside_token(outside, **changes):
    """An access token of the other installation, for us."""
    time = outside.smart.clock() // 1000
    right = {
        "iss": OUTSIDE,
        "sub": "someone",
        "aud": f"{BASE}/fhir",
        "iat": time,
        "exp": time + 600,
        "jti": "1",
        "client_id": "viewer",
        "scope": "patient/*.cruds openid",
        "patient": "A1",
        "fhirUser": f"{OUTSIDE}/fhir/Practitioner/d77",
    }
    key = changes.pop("key", outside.smart.keys.signing)
    header = {"alg": "RS256", "kid": outside.smart.keys.kid} | changes.pop("header", {})
    claims = {k: v for k, v in (right | changes).items() if v is not None}
    return jwt.encode(header, claims, key, algorithms=[header["alg"]])


BY_JWKS = {"login": False, "tokens": "jwks", "patient_system": MRN}


async def test_a_token_of_an_issuer_outside_opens_what_it_says_for_our_patient(here, outside):
    world = here(**BY_JWKS)
    access = await world.access(outside_token(outside))
    assert access.patient == "ann"
    assert told(access) == [("*", RS, "ann")]
    assert access.subject == "hospital:someone"
    assert access.client == "hospital:viewer"
    assert access.fhir_user == "Practitioner/d77"


async def test_its_keys_are_fetched_once(here, outside):
    world = here(**BY_JWKS)
    for number in range(3):
        await world.access(outside_token(outside, jti=str(number)))
    assert outside.requests.count("/auth/jwks") == 1
    assert outside.requests.count("/.well-known/openid-configuration") == 1


async def test_its_keys_may_rotate(here, outside):
    world = here(**BY_JWKS)
    await world.access(outside_token(outside))
    outside.smart.keys.rotate()
    world.clock.forward(6)
    assert (await world.access(outside_token(outside, jti="2"))).patient == "ann"
    assert outside.requests.count("/auth/jwks") == 2


async def test_a_patient_whom_we_do_not_know_is_nobody(here, outside):
    world = here(**BY_JWKS)
    access = await world.access(outside_token(outside, patient="other"))
    assert access.patient is None
    assert access.grants == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{OUTSIDE}/fhir"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": 10**11},
        {"nonce": "n"},
        {"scope": "patient/*.sr"},
        {"header": {"kid": "unknown"}},
        {"key": RSAKey.generate_key(2048)},
        {"header": {"alg": "HS256"}, "key": OctKey.import_key("x" * 40)},
    ],
)
async def test_a_wrong_token_of_an_issuer_outside_is_refused(here, outside, changes):
    world = here(**BY_JWKS)
    with pytest.raises(Unauthorised):
        await world.access(outside_token(outside, **changes))


async def test_a_token_without_a_kid_or_signature_is_refused(here, outside):
    world = here(**BY_JWKS)
    token = outside_token(outside)
    head, body, _ = token.split(".")
    none = "eyJhbGciOiJub25lIn0"
    for wrong in (f"{none}.{body}.", f"{head}.{body}.", f"{none}.{body}.x", "opaque"):
        with pytest.raises(Unauthorised):
            await world.access(wrong)


async def test_tokens_of_a_login_provider_alone_are_not_taken(here, outside):
    world = here()
    with pytest.raises(Unauthorised):
        await world.access(outside_token(outside))


async def test_an_issuer_trusted_by_one_tenant_is_none_of_anothers(here, outside):
    world = here(**BY_JWKS)
    token = outside_token(outside, aud=f"{BASE}/t/other/fhir")
    with pytest.raises(Unauthorised):
        await world.access(token, "other")


def opaque_claims(outside, world):
    claims = Claims(
        iss=OUTSIDE,
        sub="someone",
        aud=f"{OUTSIDE}/fhir",
        iat=world.clock() // 1000,
        exp=world.clock() // 1000 + 600,
        jti="9",
        client_id="us",
        scope="user/*.rs",
        tenant="default",
        fhir_user="Practitioner/d77",
    )
    return AccessTokens(outside.smart.keys, world.clock).sign(claims)


INTROSPECTED = {
    "login": False,
    "tokens": "introspection",
    "patient_system": MRN,
    "audience": f"{OUTSIDE}/fhir",
}


async def test_a_token_is_asked_about_at_the_issuer(here, outside):
    world = here(**INTROSPECTED)
    token = opaque_claims(outside, world)
    access = await world.access(token)
    assert access.fhir_user == "Practitioner/d77"
    assert told(access) == [("*", RS, None)]
    await world.access(token)
    assert outside.requests.count("/auth/introspect") == 1


async def test_a_token_that_was_revoked_there_is_refused_after_a_minute(here, outside):
    world = here(**INTROSPECTED)
    token = opaque_claims(outside, world)
    await world.access(token)
    await outside.smart.revocations.revoke("default", "token:9")
    world.clock.forward(60)
    outside.smart.authorizer._known.clear()
    with pytest.raises(Unauthorised):
        await world.access(token)


async def test_where_the_issuer_cannot_be_asked_the_token_is_refused(here, outside):
    world = here(**INTROSPECTED)
    token = opaque_claims(outside, world)
    outside.down = True
    with pytest.raises(Unauthorised):
        await world.access(token)


# --- the file of issuers ---

FILE = """
[[issuer]]
name = "hospital"
url = "https://idp.example"
login = true
client_id = "us"
"""


def test_issuers_are_read_from_a_file(tmp_path):
    file = tmp_path / "issuers.toml"
    file.write_text(FILE)
    (one,) = read(file)
    assert (one.name, one.login, one.tokens) == ("hospital", True, "off")
    assert one.secret() is None


@pytest.mark.parametrize(
    "text",
    [
        "issuer = 7",
        "[[issuer]]\nname = 'x'",
        FILE + "surprise = 1",
        FILE.replace("https://idp.example", "idp.example"),
        FILE.replace('"hospital"', '"No Name"'),
        FILE.replace('client_id = "us"', ""),
        FILE + FILE,
        FILE + 'user_by = "identifier"',
        FILE + 'tokens = "jwks"',
        "[[",
    ],
)
def test_a_wrong_file_is_told(tmp_path, text):
    file = tmp_path / "issuers.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"issuers\.toml"):
        read(file)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "none.toml")
