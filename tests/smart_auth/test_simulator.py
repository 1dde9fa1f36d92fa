"""The EHR simulator and our own page of apps launch for the user, patient and study that were picked."""

from urllib.parse import parse_qsl, urlsplit

from smart_auth.policy import Policy

LAUNCH = "http://127.0.0.1:9000/launch"
SCOPE = "launch openid fhirUser patient/*.rs"


async def page_of(world, user="doc"):
    browser = world.browser()
    page = await browser.get("/auth/simulator")
    assert "Log in" in page.text
    page = await browser.log_in(page, user)
    return browser, page


async def test_a_study_is_picked_and_the_app_opened_with_it(world):
    browser, page = await page_of(world)
    page = await browser.submit(page, nth=1, patient="ann")
    assert "ImagingStudy s1" in page.text
    picked = {"app": "app", "user": "doc", "imagingstudy": "s1", "diagnosticreport": "r1"}
    banner = {"need_patient_banner": "true", "intent": "review", "encounter": "e1"}
    opened = await browser.submit(page, decision="launch", **picked, **banner)
    assert opened.headers["location"].startswith(LAUNCH)
    given = dict(parse_qsl(urlsplit(opened.headers["location"]).query))
    assert given["iss"] == "http://127.0.0.1:8080/fhir"
    page = await browser.get(
        "/auth/authorize", **world.request(scope=SCOPE, launch=given["launch"])
    )
    done = await browser.submit(page, decision="allow")
    code = dict(parse_qsl(urlsplit(done.headers["location"]).query))["code"]
    answer = (await world.token(code)).json()
    assert answer["patient"] == "ann"
    assert answer["intent"] == "review"
    assert answer["encounter"] == "e1"
    assert [item["reference"] for item in answer["fhirContext"]] == [
        "ImagingStudy/s1",
        "DiagnosticReport/r1",
    ]
    style = await world.http.get(urlsplit(answer["smart_style_url"]).path)
    assert "color_background" in style.json()


async def test_a_form_of_another_session_is_refused(world):
    browser, page = await page_of(world)
    page = await browser.submit(page, nth=1, patient="ann")
    refused = await browser.submit(page, decision="launch", app="app", form_token="forged")
    assert refused.status_code == 403


async def test_an_app_that_cannot_be_launched_is_told(world):
    browser, page = await page_of(world)
    page = await browser.submit(page, nth=1, patient="ann")
    refused = await browser.submit(page, decision="launch", app="web", user="doc")
    assert refused.status_code == 400


async def test_someone_without_access_finds_no_patients(world):
    _, page = await page_of(world, "kin")
    assert "Ann" not in page.text


async def test_there_is_none_unless_the_policy_says_so(another):
    world = another(policy=Policy())
    assert (await world.http.get("/auth/simulator")).status_code == 404


async def test_our_own_page_opens_an_app_with_the_study_in_hand(world):
    browser = world.browser()
    assert "Log in" in (await browser.get("/auth/apps?patient=ann&imagingstudy=s1")).text
    await browser.log_in(await browser.get("/auth/login"))
    page = await browser.get("/auth/apps?patient=ann&imagingstudy=s1")
    assert "Ann Example" in page.text
    opened = await browser.submit(page, app="app")
    given = dict(parse_qsl(urlsplit(opened.headers["location"]).query))
    asked = world.request(scope=SCOPE, launch=given["launch"])
    done = await browser.submit(await browser.get("/auth/authorize", **asked), decision="allow")
    code = dict(parse_qsl(urlsplit(done.headers["location"]).query))["code"]
    answer = (await world.token(code)).json()
    assert answer["patient"] == "ann"
    assert answer["fhirContext"] == [{"reference": "ImagingStudy/s1"}]


async def test_a_page_of_apps_that_was_forged_or_makes_no_sense_opens_nothing(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    page = await browser.get("/auth/apps?patient=ann")
    assert (await browser.submit(page, app="app", form_token="x")).status_code == 403
    assert (await browser.submit(page, app="web")).status_code == 400
    assert (await browser.get("/auth/apps?patient=a/b")).status_code == 400
