"""The authorisation request: what is answered, what goes back as an error, what is not sent back at all."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CALLBACK = "http://127.0.0.1:9000/callback"
FHIR = "http://127.0.0.1:8080/fhir"


def sent_back(response):
    assert response.status_code == 303, response.text
    parts = urlsplit(response.headers["location"])
    assert response.headers["location"].startswith(CALLBACK)
    return dict(parse_qsl(parts.query))


async def test_a_practitioner_logs_in_picks_a_patient_and_consents(world):
    got = await world.authorize()
    assert got["state"] == "s1"
    assert got["iss"] == "http://127.0.0.1:8080"
    assert len(got["code"]) >= 43


async def test_every_page_keeps_other_sites_and_caches_out(world):
    page = await world.browser().get("/auth/authorize", **world.request())
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "script" not in page.text
    assert 'name="viewport"' in page.text


async def test_a_posted_request_is_answered_as_one_by_get(world):
    browser = world.browser()
    first = await browser.http.post("/auth/authorize", data=world.request())
    assert first.status_code == 303
    page = await browser.get(first.headers["location"])
    page = await browser.log_in(page)
    assert "Which patient" in page.text


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"client_id": "x" * 500},
        {"client_id": "a\x00b"},
        {"redirect_uri": None},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": CALLBACK + "?x=1"},
        {"redirect_uri": CALLBACK.upper()},
        {"redirect_uri": "https://evil.example/callback"},
        {"client_id": "service"},
    ],
)
async def test_without_a_right_client_and_redirect_the_browser_is_not_sent_on(world, changes):
    response = await world.http.get("/auth/authorize", params=world.request(**changes))
    assert response.status_code == 400
    assert "location" not in response.headers
    assert "evil.example" not in response.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"state": "s" * 5000}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://other.example/fhir"}, "invalid_request"),
        ({"aud": FHIR + "/Patient"}, "invalid_request"),
        ({"aud": "http://127.0.0.1:8080/t/other/fhir"}, "invalid_request"),
        ({"launch": "xyz"}, "invalid_scope"),
        ({"request": "e30.e30."}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "patient/*.cu"}, "invalid_scope"),
        ({"scope": "openid patient/Observation.sr"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_wrong_request_goes_back_with_its_error(world, changes, error):
    response = await world.http.get("/auth/authorize", params=world.request(**changes))
    told = sent_back(response)
    assert told["error"] == error
    assert told["iss"] == "http://127.0.0.1:8080"
    assert "code" not in told
    if changes.get("state", "s1") == "s1":
        assert told["state"] == "s1"


async def test_a_repeated_parameter_is_refused(world):
    query = [*world.request().items(), ("scope", "openid")]
    response = await world.http.get("/auth/authorize", params=query)
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_aud_may_end_with_a_slash(world):
    page = await world.http.get("/auth/authorize", params=world.request(aud=FHIR + "/"))
    assert "Log in" in page.text


async def test_unknown_parameters_are_ignored(world):
    page = await world.http.get("/auth/authorize", params=world.request(colour="blue"))
    assert "Log in" in page.text


async def test_denying_tells_the_app(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    told = sent_back(await browser.submit(page, nth=1, decision="deny"))
    assert told["error"] == "access_denied"
    assert told["state"] == "s1"


async def test_unticking_everything_is_a_denial(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    page = await browser.submit(page, nth=1, patient="ann")
    token, request = (field[1] for field in forms(page)[0].fields[:2])
    data = {"form_token": token, "request": request, "patient": "ann", "decision": "allow"}
    told = sent_back(await browser.http.post("/auth/consent", data=data))
    assert told["error"] == "access_denied"


def forms(page):
    import html
    import re

    class Found:
        def __init__(self, text):
            pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', text)
            self.fields = [(name, html.unescape(value)) for name, value in pairs]

    return [Found(text) for text in page.text.split("<form")[1:]]


async def test_only_what_was_ticked_is_granted(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    page = await browser.submit(page, nth=1, patient="ann")
    hidden = dict(forms(page)[0].fields)
    data = hidden | {"patient": "ann", "decision": "allow", "scope": "patient/*.rs"}
    told = sent_back(await browser.http.post("/auth/consent", data=data))
    answer = (await world.token(told["code"])).json()
    assert answer["scope"] == "patient/*.rs"
    assert "id_token" not in answer
    assert "refresh_token" not in answer


async def test_ticking_more_than_was_asked_gives_no_more(world):
    browser = world.browser()
    asked = world.request(scope="launch/patient patient/Observation.rs")
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    page = await browser.submit(page, nth=1, patient="ann")
    data = dict(forms(page)[0].fields) | {
        "patient": "ann",
        "decision": "allow",
        "scope": ["patient/Observation.rs", "patient/*.cruds", "user/*.cruds", "offline_access"],
    }
    told = sent_back(await browser.http.post("/auth/consent", data=data))
    assert (await world.token(told["code"])).json()["scope"] == "patient/Observation.rs"


async def test_the_picker_searches_and_shows_the_chosen_patient(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    assert "Ann Example" in page.text
    assert "Bob Example" in page.text
    page = await browser.submit(page, nth=0, text="bob", decision="find")
    assert "Ann Example" not in page.text
    page = await browser.submit(page, nth=1, patient="bob")
    assert "The patient is Bob Example" in page.text


async def test_a_patient_whom_the_user_may_not_see_is_not_accepted(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    page = await browser.submit(page, nth=1, patient="stranger", decision="allow")
    assert "Which patient" in page.text


async def test_a_patient_user_is_bound_to_her_own_record(world):
    browser = world.browser()
    page = await browser.get("/auth/authorize", **world.request())
    page = await browser.log_in(page, "ann")
    assert "The patient is Ann Example" in page.text
    done = await browser.submit(page, decision="allow", patient="bob")
    answer = (await world.token(sent_back(done)["code"])).json()
    assert answer["patient"] == "ann"


async def test_a_user_who_is_neither_may_not_choose_a_patient(world):
    browser = world.browser()
    page = await browser.get("/auth/authorize", **world.request())
    told = sent_back(await browser.log_in(page, "kin"))
    assert told["error"] == "access_denied"


async def test_patient_scopes_ask_for_a_patient_even_without_launch_patient(world):
    got = await world.authorize(scope="patient/Observation.rs")
    answer = (await world.token(got["code"])).json()
    assert answer["patient"] == "ann"
    assert answer["need_patient_banner"] is True


async def test_user_scopes_ask_for_no_patient(world):
    got = await world.authorize(scope="openid user/*.rs")
    assert "patient" not in (await world.token(got["code"])).json()


async def test_a_logged_in_user_is_asked_at_once_and_prompt_login_asks_for_the_password(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    page = await browser.get("/auth/authorize", **world.request())
    assert "Which patient" in page.text
    page = await browser.get("/auth/authorize", **world.request(prompt="login"))
    assert "Log in" in page.text
    page = await browser.log_in(page)
    assert "Which patient" in page.text


async def test_prompt_none_with_a_session_says_that_consent_is_needed(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    response = await browser.get("/auth/authorize", **world.request(prompt="none"))
    assert sent_back(response)["error"] == "consent_required"


async def test_max_age_asks_for_the_password_once_the_login_is_older(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    world.clock.forward(100)
    page = await browser.get("/auth/authorize", **world.request(max_age="200"))
    assert "Which patient" in page.text
    page = await browser.get("/auth/authorize", **world.request(max_age="50"))
    assert "Log in" in page.text
    assert "Which patient" in (await browser.log_in(page)).text


@pytest.mark.parametrize("field", ["form_token", "request"])
async def test_a_forged_consent_form_is_refused(world, field):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    forged = await browser.submit(page, nth=1, patient="ann", decision="allow", **{field: "forged"})
    assert forged.status_code == 400
    assert "location" not in forged.headers


async def test_a_consent_form_of_another_session_is_refused(world):
    one, other = world.browser(), world.browser()
    page = await one.log_in(await one.get("/auth/authorize", **world.request()))
    await other.log_in(await other.get("/auth/login"))
    assert (await other.submit(page, nth=1, patient="ann")).status_code == 400


async def test_consent_without_a_session_is_refused(world):
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    browser.http.cookies.clear()
    assert (await browser.submit(page, nth=1, patient="ann")).status_code == 400


async def test_names_in_pages_are_escaped(world):
    from smart_auth.clients import Registration, add_client

    evil = Registration("evil", "public", "<script>alert(1)</script>", (CALLBACK,))
    await add_client(world.documents, "default", evil)
    browser = world.browser()
    page = await browser.get("/auth/authorize", **world.request(client_id="evil"))
    page = await browser.log_in(page)
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    page = await browser.submit(page, nth=0, text='"><script>', decision="find")
    assert "<script" not in page.text


CHANGES = st.dictionaries(
    st.sampled_from(
        [
            "aud",
            "client_id",
            "code_challenge",
            "max_age",
            "prompt",
            "redirect_uri",
            "scope",
            "state",
        ]
    ),
    st.text(max_size=20)
    | st.sampled_from(["none", "login", "patient/*.rs openid", "launch/patient", "web", FHIR]),
    max_size=4,
)


@given(changes=CHANGES, logged_in=st.booleans())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_authorisation_request_makes_the_server_fail(world, changes, logged_in):
    browser = world.browser()
    if logged_in:
        user = await world.smart.users.get("default", "doc")
        cookie = await world.smart.sessions.start(world.smart.realm(), user)
        browser.http.headers["cookie"] = cookie.partition(";")[0]
    params = world.request(**changes)
    answer = await browser.http.get("/auth/authorize", params=params)
    assert answer.status_code in {200, 303, 400}
    if answer.status_code == 303:
        assert answer.headers["location"].startswith(CALLBACK + "?")
