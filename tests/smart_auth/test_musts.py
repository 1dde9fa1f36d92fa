"""What SMART App Launch 2.2 and the OAuth RFCs demand of the server, sentence by sentence: requests.

Discovery, the authorisation request and its answer. Token requests and clients have tables of their own.
"""

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest
from musts import BCP, ISSUER, OAUTH, PKCE, SMART, Table

BASE = "http://127.0.0.1:8080"
FHIR = f"{BASE}/fhir"
CALLBACK = "http://127.0.0.1:9000/callback"
TABLE = Table()
must = TABLE.must


async def authorize(world, **changes):
    return await world.http.get("/auth/authorize", params=world.request(**changes))


def sent_back(response):
    assert response.status_code == 303, response.text
    assert response.headers["location"].startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


async def error_of(world, **changes):
    return sent_back(await authorize(world, **changes))["error"]


async def document(world):
    return await world.http.get("/fhir/.well-known/smart-configuration")


@must(
    SMART, "Conformance, Using .well-known", "the document is JSON, served without authentication"
)
async def the_document_is_json_for_everyone(world, secret):
    response = await document(world)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")


@must(
    SMART, "Conformance, Using .well-known", "it has the members that are required of every server"
)
async def the_document_has_what_is_required(world, secret):
    told = (await document(world)).json()
    for name in ("authorization_endpoint", "token_endpoint"):
        assert told[name].startswith(f"{BASE}/auth/")
    assert {"authorization_code", "client_credentials"} <= set(told["grant_types_supported"])
    assert told["capabilities"]


@must(
    SMART, "Conformance, Using .well-known", "with sso-openid-connect, issuer and jwks_uri are told"
)
async def the_document_names_issuer_and_keys(world, secret):
    told = (await document(world)).json()
    assert "sso-openid-connect" in told["capabilities"]
    assert told["issuer"] == BASE
    assert (await world.http.get(urlsplit(told["jwks_uri"]).path)).json()["keys"]


@must(
    SMART,
    "Conformance, Using .well-known",
    "the methods told include S256 and do not include plain",
)
async def the_document_offers_s256_alone(world, secret):
    assert (await document(world)).json()["code_challenge_methods_supported"] == ["S256"]


@must(SMART, "Conformance, Using .well-known", "other doors that take the same tokens are named")
async def the_document_names_the_images(world, secret):
    (images,) = (await document(world)).json()["associated_endpoints"]
    assert images == {"url": f"{BASE}/dicom-web", "capabilities": ["smart-imaging-access"]}


@must(SMART, "Conformance, Capability Sets", "launch-ehr comes with the contexts that an EHR gives")
async def the_document_tells_of_ehr_launch(world, secret):
    told = set((await document(world)).json()["capabilities"])
    assert {"launch-ehr", "context-ehr-patient", "context-ehr-encounter", "context-style"} <= told


@must(SMART, "Obtain authorization code", "the server accepts the authorisation request by GET")
async def a_request_by_get_is_answered(world, secret):
    assert "Log in" in (await authorize(world)).text


@must(SMART, "Obtain authorization code", "with authorize-post, the server accepts it by POST too")
async def a_request_by_post_is_answered(world, secret):
    response = await world.http.post("/auth/authorize", data=world.request())
    page = await world.http.get(response.headers["location"])
    assert "Log in" in page.text


@must(
    SMART,
    "Obtain authorization code",
    "aud names the resource server that the token is for; another is refused",
)
async def a_wrong_aud_is_refused(world, secret):
    for aud in (None, "https://evil.example/fhir", f"{FHIR}/Patient", f"{BASE}/t/other/fhir"):
        assert await error_of(world, aud=aud) == "invalid_request"


@must(
    SMART, "Obtain authorization code", "launch is what the EHR gave, and stands for nothing else"
)
async def an_unknown_launch_is_refused(world, secret):
    scope = "launch openid patient/*.rs"
    assert await error_of(world, launch="invented", scope=scope) == "invalid_request"


@must(SMART, "Register App with EHR", "redirect URIs are those that were registered in full")
@must(OAUTH, "3.1.2.3", "the redirect URI is compared with those registered")
@must(BCP, "2.1", "redirect URIs are compared as strings, exactly")
async def a_wrong_redirect_is_refused(world, secret):
    for uri in (f"{CALLBACK}/", f"{CALLBACK}?a=b", "http://127.0.0.1:9001/callback", None):
        response = await authorize(world, redirect_uri=uri)
        assert response.status_code == 400


@must(OAUTH, "3.1.2.4", "with a wrong redirect URI or client the browser is not sent there")
@must(OAUTH, "4.1.2.1", "the user is told instead of being redirected")
@must(BCP, "4.11.2", "the server is no open redirector")
async def the_browser_is_not_sent_to_a_stranger(world, secret):
    evil = "https://evil.example/"
    for changes in ({"redirect_uri": evil}, {"client_id": "nobody", "redirect_uri": evil}):
        response = await authorize(world, **changes)
        assert "location" not in response.headers
        assert "evil.example" not in response.text


@must(BCP, "4.11.2", "the way back after a login leads to this server only")
async def the_way_back_stays_here(world, secret):
    for following in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
        browser = world.browser()
        page = await browser.get("/auth/login", next=following)
        done = await browser.http.post("/auth/login", data=form_of(page))
        assert done.headers["location"] == "/"


def form_of(page):
    import lxml.html

    fields = dict(lxml.html.fromstring(page.text).forms[0].form_values())
    return fields | {"name": "doc", "password": "correct horse"}


@must(OAUTH, "3.1", "a parameter without a value counts as left out")
async def an_empty_parameter_is_absent(world, secret):
    request = world.request() | {"max_age": "", "launch": ""}
    assert "Log in" in (await world.http.get("/auth/authorize", params=request)).text


@must(OAUTH, "3.1", "parameters that are not known are ignored")
async def an_unknown_parameter_is_ignored(world, secret):
    assert "Log in" in (await authorize(world, colour="blue")).text


@must(OAUTH, "3.1", "no parameter is given more than once")
async def a_repeated_parameter_is_refused(world, secret):
    pairs = [*world.request().items(), ("scope", "openid")]
    assert (await world.http.get("/auth/authorize", params=pairs)).status_code == 400


@must(OAUTH, "3.1.1", "a response type that is missing or not understood is an error")
@must(BCP, "2.1.2", "no access token is issued in the authorisation response")
async def other_response_types_are_refused(world, secret):
    for kind in (None, "token", "code token", "id_token", "none"):
        assert await error_of(world, response_type=kind) == "unsupported_response_type"


@must(OAUTH, "4.1.2", "state comes back as it was sent")
@must(OAUTH, "4.1.2.1", "it does so with an error too")
async def state_comes_back(world, secret):
    state = "a b&c=d%é~" * 20
    assert (await world.authorize(state=state))["state"] == state
    assert sent_back(await authorize(world, state=state, response_type="x"))["state"] == state


@must(OAUTH, "10.10", "codes, refresh tokens and the like cannot be guessed: 128 bits and more")
async def what_is_issued_cannot_be_guessed(world, secret):
    first, second = [await world.authorize() for _ in range(2)]
    for code in (first["code"], second["code"]):
        assert len(base64.urlsafe_b64decode(code + "==")) >= 32
    assert first["code"] != second["code"]


@must(OAUTH, "10.12", "the pages of login and consent cannot be forged from elsewhere (CSRF)")
@must(BCP, "4.7", "a request that was forged leads to nothing")
async def forged_forms_are_refused(world, secret):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    forged = await browser.submit(page, nth=1, patient="ann", form_token="forged")
    assert forged.status_code == 400
    bare = await browser.http.post("/auth/consent", data={"decision": "allow"})
    assert bare.status_code == 400
    login = await world.http.post("/auth/login", data={"name": "doc", "password": "correct horse"})
    assert login.status_code == 403


@must(OAUTH, "10.13", "the pages cannot be shown in another's frame")
@must(BCP, "4.16", "clickjacking is prevented by headers")
async def pages_cannot_be_framed(world, secret):
    page = await authorize(world)
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@must(BCP, "4.2.4", "pages leak no code or state by the Referer header")
async def pages_send_no_referrer(world, secret):
    assert (await authorize(world)).headers["referrer-policy"] == "no-referrer"


@must(BCP, "4.12", "after a form with a password no redirect repeats it (307)")
async def redirects_do_not_repeat_forms(world, secret):
    browser = world.browser()
    page = await browser.get("/auth/login")
    done = await browser.http.post("/auth/login", data=form_of(page))
    assert done.status_code == 303
    posted = await world.http.post("/auth/authorize", data=world.request())
    assert posted.status_code == 303


@must(ISSUER, "2", "the answer names the issuer, also with an error")
@must(BCP, "4.4.2.1", "a client can tell a mix-up of servers by it")
async def the_answer_names_its_issuer(world, secret):
    assert (await world.authorize())["iss"] == BASE
    assert sent_back(await authorize(world, response_type="x"))["iss"] == BASE


@must(ISSUER, "3", "the document says that the answer does")
async def the_document_says_that_answers_name_the_issuer(world, secret):
    told = (await document(world)).json()
    assert told["authorization_response_iss_parameter_supported"] is True


@must(ISSUER, "2.4", "a code of one issuer is nothing at another")
async def a_code_of_another_issuer_is_nothing(world, secret):
    code = (await world.authorize())["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": "v" * 64,
        "client_id": "app",
    }
    assert (await world.post(form, "/t/other/auth/token")).status_code == 401
    assert (await world.token(code)).status_code == 200


@must(SMART, "Considerations for PKCE Support", "the server supports S256 and refuses plain")
@must(PKCE, "4.4.1", "a method that is not supported is an invalid request")
@must(BCP, "4.8.2", "PKCE cannot be left out or weakened (downgrade)")
async def pkce_cannot_be_downgraded(world, secret):
    for changes in (
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": "v" * 64, "code_challenge_method": "plain"},
    ):
        assert await error_of(world, **changes) == "invalid_request"


@must(PKCE, "4.2", "a challenge is the base64url of a SHA-256 hash")
async def a_challenge_of_another_form_is_refused(world, secret):
    for challenge in ("a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "+"):
        assert await error_of(world, code_challenge=challenge) == "invalid_request"


@must(BCP, "2.1.1", "public clients use PKCE, and the server enforces what was asked with")
@must(PKCE, "4.6", "the verifier is hashed and compared; where they differ the grant is invalid")
async def a_wrong_verifier_is_refused(world, secret):
    for verifier in ("w" * 64, None, "v" * 63):
        code = (await world.authorize())["code"]
        answer = await world.token(code, code_verifier=verifier)
        assert answer.json()["error"] in {"invalid_grant", "invalid_request"}


@must(PKCE, "4.1", "a verifier has 43 to 128 of the unreserved characters")
async def a_verifier_of_another_length_is_refused(world, secret):
    for verifier in ("v" * 42, "v" * 129, "v" * 63 + "!"):
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        challenge = hashed.rstrip(b"=").decode()
        code = (await world.authorize(code_challenge=challenge))["code"]
        answer = await world.token(code, code_verifier=verifier)
        assert answer.json()["error"] == "invalid_grant"


@must(PKCE, "4.4", "the code is bound to its challenge: another request's verifier does not fit")
async def a_code_is_bound_to_its_challenge(world, secret):
    hashed = base64.urlsafe_b64encode(hashlib.sha256(b"x" * 64).digest())
    code = (await world.authorize(code_challenge=hashed.rstrip(b"=").decode()))["code"]
    assert (await world.token(code)).json()["error"] == "invalid_grant"


@must(OAUTH, "3.3", "a scope that is invalid or malformed is told as such")
async def a_malformed_scope_is_refused(world, secret):
    for scope in ("patient/Observation.sr", "patient/*.", "patient/Observation.rs?_include=x:y"):
        assert await error_of(world, scope=scope) == "invalid_scope"


@must(SMART, "Scopes for requesting FHIR Resources", "system scopes are not a user's to give")
async def system_scopes_are_not_given_by_users(world, secret):
    assert await error_of(world, scope="system/*.rs") == "invalid_scope"


@must(
    SMART,
    "Scopes and Launch Context",
    "the user may grant less than was asked for, and the app is told",
)
@must(OAUTH, "3.3", "where less is granted than asked, the response says what")
@must(OAUTH, "5.1", "scope is told where it differs from the one asked for")
async def what_was_granted_is_told(world, secret):
    answer = await world.tokens(scope="patient/*.cruds launch/patient unheard-of")
    assert answer["scope"] == "launch/patient patient/*.rs"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
async def test_the_server_does_what_the_standard_demands(world, secret, row):
    await row.check(world, secret)


def test_every_row_cites_a_section_and_says_what_is_demanded(record_property):
    assert all(row.section and len(row.sentence) > 20 for row in TABLE)
    record_property("proof", f"SMART and OAuth, discovery and authorisation: {len(TABLE)} demands")
