"""Launch context: what the EHR said, what the user picks, and only what the user may see."""

import json

import pytest

CALLBACK = "http://127.0.0.1:9000/callback"
LAUNCH = "http://127.0.0.1:9000/launch"
FHIR = "http://127.0.0.1:8080/fhir"
EHR = {
    "app": "app",
    "patient": "ann",
    "encounter": "e1",
    "imagingstudy": "s1",
    "fhirContext": json.dumps([{"reference": "DiagnosticReport/r1", "role": "compare"}]),
    "intent": "reconcile",
    "need_patient_banner": "false",
    "smart_style_url": "https://ehr.example/style.json",
}
SCOPE = "launch openid fhirUser patient/*.rs"


def sent_back(response):
    assert response.status_code == 303, response.text
    assert response.headers["location"].startswith(CALLBACK), response.headers["location"]
    query = response.headers["location"].partition("?")[2]
    return dict(pair.split("=", 1) for pair in query.split("&"))


@pytest.fixture
def mint(world, secret):
    async def minted(**changes):
        form = EHR | {"client_id": "ehr", "client_secret": secret["ehr"]} | changes
        form = {name: value for name, value in form.items() if value is not None}
        return await world.post(form, "/auth/launch")

    return minted


async def walked(world, user="doc", **changes):
    """Log in and allow what an EHR launch asks; give what the callback receives."""
    browser = world.browser()
    asked = world.request(**{"scope": SCOPE} | changes)
    page = await browser.log_in(await browser.get("/auth/authorize", **asked), user)
    if page.status_code == 303:
        return sent_back(page)
    return sent_back(await browser.submit(page, decision="allow"))


async def test_an_ehr_launches_an_app_with_its_whole_context(world, mint):
    minted = (await mint()).json()
    assert minted["expires_in"] == 300
    assert minted["launch_url"].startswith(f"{LAUNCH}?iss=")
    assert minted["launch"] in minted["launch_url"]
    told = await walked(world, launch=minted["launch"])
    answer = (await world.token(told["code"])).json()
    assert answer["patient"] == "ann"
    assert answer["encounter"] == "e1"
    assert answer["fhirContext"] == [
        {"reference": "ImagingStudy/s1"},
        {"reference": "DiagnosticReport/r1", "role": "compare"},
    ]
    assert answer["intent"] == "reconcile"
    assert answer["need_patient_banner"] is False
    assert answer["smart_style_url"] == "https://ehr.example/style.json"
    access = await world.access(answer["access_token"])
    assert access.patient == "ann"
    assert access.context == ("ImagingStudy/s1", "DiagnosticReport/r1")


async def test_introspection_tells_the_launch_context(world, mint, secret):
    minted = (await mint()).json()
    answer = (await world.token((await walked(world, launch=minted["launch"]))["code"])).json()
    form = {"token": answer["access_token"], "client_id": "web", "client_secret": secret["web"]}
    told = (await world.post(form, "/auth/introspect")).json()
    members = ("patient", "encounter", "fhirContext", "intent", "need_patient_banner")
    assert {name: told[name] for name in members} == {name: answer[name] for name in members}


async def test_a_refreshed_token_keeps_the_launch_context(world, mint):
    minted = (await mint()).json()
    scope = f"{SCOPE} offline_access"
    told = await walked(world, launch=minted["launch"], scope=scope)
    first = (await world.token(told["code"])).json()
    form = {"grant_type": "refresh_token", "client_id": "app"}
    second = (await world.post(form | {"refresh_token": first["refresh_token"]})).json()
    assert second["fhirContext"] == first["fhirContext"]
    assert second["encounter"] == "e1"


async def test_a_launch_value_is_good_once(world, mint):
    minted = (await mint()).json()
    await walked(world, launch=minted["launch"])
    request = world.request(scope=SCOPE, launch=minted["launch"])
    told = sent_back(await world.http.get("/auth/authorize", params=request))
    assert told["error"] == "invalid_request"


async def test_of_two_consents_for_one_launch_one_is_granted(world, mint):
    minted = (await mint()).json()
    browser = world.browser()
    asked = world.request(scope=SCOPE, launch=minted["launch"])
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    assert "code" in sent_back(await browser.submit(page, decision="allow"))
    assert sent_back(await browser.submit(page, decision="allow"))["error"] == "invalid_request"


async def test_a_launch_value_expires_after_five_minutes(world, mint):
    minted = (await mint()).json()
    world.clock.forward(300)
    request = world.request(scope=SCOPE, launch=minted["launch"])
    told = sent_back(await world.http.get("/auth/authorize", params=request))
    assert told["error"] == "invalid_request"


async def test_a_launch_value_is_for_the_app_that_was_launched(world, mint):
    minted = (await mint()).json()
    request = world.request(
        scope="launch openid patient/*.rs", launch=minted["launch"], client_id="other"
    )
    from smart_auth.clients import Registration, add_client

    other = Registration("other", "public", redirect_uris=(CALLBACK,))
    await add_client(world.documents, "default", other)
    told = sent_back(await world.http.get("/auth/authorize", params=request))
    assert told["error"] == "invalid_request"


async def test_a_launch_without_its_scope_is_refused(world, mint):
    minted = (await mint()).json()
    request = world.request(scope="openid patient/*.rs", launch=minted["launch"])
    told = sent_back(await world.http.get("/auth/authorize", params=request))
    assert told["error"] == "invalid_scope"


async def test_the_launch_scope_of_a_standalone_launch_is_left_out(world):
    answer = await world.tokens(scope="launch openid fhirUser patient/*.rs")
    assert answer["scope"] == "openid fhirUser patient/*.rs"
    request = world.request(scope="launch")
    told = sent_back(await world.http.get("/auth/authorize", params=request))
    assert told["error"] == "invalid_scope"


@pytest.mark.parametrize(
    "changes",
    [
        {"patient": "stranger"},
        {"imagingstudy": "s9"},
        {"encounter": "e7"},
        {"fhirContext": '[{"reference":"DiagnosticReport/other"}]'},
    ],
)
async def test_a_user_is_not_launched_into_what_she_may_not_see(world, mint, changes):
    minted = (await mint(**changes)).json()
    told = await walked(world, launch=minted["launch"])
    assert told["error"] == "access_denied"


async def test_a_launch_for_one_user_asks_another_to_log_in(world, mint):
    minted = (await mint(fhirUser="Practitioner/d1")).json()
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"), "ann")
    page = await browser.get(
        "/auth/authorize", **world.request(scope=SCOPE, launch=minted["launch"])
    )
    assert "Log in" in page.text
    page = await browser.log_in(page, "doc")
    assert "code" in sent_back(await browser.submit(page, decision="allow"))


async def test_a_launch_without_a_patient_asks_for_one_where_the_scopes_need_it(world, mint):
    minted = (await mint(patient=None, encounter=None, imagingstudy=None, fhirContext="[]")).json()
    browser = world.browser()
    asked = world.request(scope=SCOPE, launch=minted["launch"])
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    assert "Which patient" in page.text
    page = await browser.submit(page, nth=1, patient="bob")
    told = sent_back(await browser.submit(page, decision="allow"))
    assert (await world.token(told["code"])).json()["patient"] == "bob"


async def test_unticking_launch_keeps_the_context_from_the_app(world, mint):
    minted = (await mint()).json()
    browser = world.browser()
    scope = "launch openid user/*.rs"
    asked = world.request(scope=scope, launch=minted["launch"])
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    import html
    import re

    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
    data = {name: html.unescape(value) for name, value in hidden.items()}
    data |= {"decision": "allow", "scope": "user/*.rs"}
    told = sent_back(await browser.http.post("/auth/consent", data=data))
    answer = (await world.token(told["code"])).json()
    assert not {"patient", "encounter", "fhirContext"} & set(answer)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"app": "web"}, "invalid_request"),
        ({"app": "nobody"}, "invalid_request"),
        ({"patient": "Patient/ann"}, "invalid_request"),
        ({"fhirContext": "{}"}, "invalid_request"),
        ({"fhirContext": '[{"reference":"Patient/ann"}]'}, "invalid_request"),
        ({"fhirContext": '[{"reference":"https://x/ImagingStudy/1"}]'}, "invalid_request"),
        ({"fhirUser": "doc"}, "invalid_request"),
        ({"need_patient_banner": "perhaps"}, "invalid_request"),
        ({"smart_style_url": "javascript:x"}, "invalid_request"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "app", "client_secret": None}, "unauthorized_client"),
    ],
)
async def test_a_wrong_launch_is_refused(mint, changes, error):
    response = await mint(**changes)
    assert response.json()["error"] == error


async def test_a_client_that_is_no_ehr_may_not_launch(mint, secret):
    response = await mint(client_id="web", client_secret=secret["web"])
    assert response.json()["error"] == "unauthorized_client"


async def test_a_standalone_app_is_given_the_study_that_the_user_picks(world):
    browser = world.browser()
    scope = "launch/patient launch/imagingstudy openid patient/ImagingStudy.rs"
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request(scope=scope)))
    page = await browser.submit(page, nth=1, patient="ann")
    assert "Which imaging study" in page.text
    page = await browser.submit(page, imagingstudy="s2")
    told = sent_back(await browser.submit(page, decision="allow"))
    answer = (await world.token(told["code"])).json()
    assert answer["patient"] == "ann"
    assert answer["fhirContext"] == [{"reference": "ImagingStudy/s2"}]


async def test_a_visit_is_picked_or_left_out(world):
    browser = world.browser()
    scope = "launch/encounter launch/imagingstudy patient/*.rs"
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request(scope=scope)))
    page = await browser.submit(page, nth=1, patient="ann")
    assert "Which visit" in page.text
    page = await browser.submit(page, encounter="e1")
    page = await browser.submit(page, imagingstudy="*")
    told = sent_back(await browser.submit(page, decision="allow"))
    answer = (await world.token(told["code"])).json()
    assert answer["encounter"] == "e1"
    assert "fhirContext" not in answer


async def test_another_patients_study_cannot_be_picked(world):
    browser = world.browser()
    scope = "launch/imagingstudy patient/*.rs"
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request(scope=scope)))
    page = await browser.submit(page, nth=1, patient="ann")
    told = sent_back(await browser.submit(page, imagingstudy="s9"))
    assert told["error"] == "access_denied"
