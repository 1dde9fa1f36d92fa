"""Login and logout in the browser, and the cookie that carries a session."""

import pytest

from fhir_server.access import Grant
from smart_auth.scopes import MUST_BE_NAMED
from smart_auth.smart import Ports, Smart

RS = frozenset("rs")


def of_people(*parts):
    """A grant of a person's scopes, which reach types of their own by name only."""
    return Grant(*parts, apart=MUST_BE_NAMED)


def cookie(browser):
    return {"cookie": "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies.jar)}


async def test_a_login_gives_a_session_with_the_users_own_access(world):
    browser = world.browser()
    assert await world.smart.session("default", cookie(browser)) is None
    done = await browser.log_in(await browser.get("/auth/login"))
    assert done.headers["location"] == "/"
    access = await world.smart.session("default", cookie(browser))
    assert access.grants == (of_people("*", RS),)
    assert access.fhir_user == "Practitioner/d1"


async def test_a_patients_session_sees_her_own_record_only(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"), "ann")
    access = await world.smart.session("default", cookie(browser))
    assert access.grants == (of_people("*", RS, "ann"),)


async def test_a_session_of_one_tenant_is_none_in_another(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    renamed = cookie(browser)["cookie"].replace("-default=", "-other=")
    assert await world.smart.session("other", {"cookie": renamed}) is None


async def test_the_cookie_is_kept_from_scripts_and_other_sites(world):
    browser = world.browser()
    page = await browser.get("/auth/login")
    assert "SameSite=Strict" in page.headers["set-cookie"]
    done = await browser.log_in(page)
    assert "HttpOnly" in done.headers["set-cookie"]
    assert "SameSite=Lax" in done.headers["set-cookie"]


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(world, ring):
    smart = Smart(world.documents, ring, "https://server.example", Ports(clock=world.clock))
    user = await smart.users.get("default", "doc")
    header = await smart.sessions.start(smart.realm(), user)
    assert header.startswith("__Host-hounsfield-session-default=")
    assert header.endswith("; Secure")


async def test_a_session_ends_after_twelve_hours(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    world.clock.forward(12 * 3600 - 1)
    assert await world.smart.session("default", cookie(browser)) is not None
    world.clock.forward(1)
    assert await world.smart.session("default", cookie(browser)) is None


async def test_logging_out_ends_the_session(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    kept = cookie(browser)
    page = await browser.get("/auth/logout")
    assert await world.smart.session("default", kept) is not None
    done = await browser.submit(page)
    assert "Max-Age=0" in done.headers["set-cookie"]
    assert await world.smart.session("default", kept) is None


async def test_a_forged_logout_is_only_a_question(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    response = await browser.http.post("/auth/logout", data={"form_token": "x"})
    assert response.status_code == 303
    assert await world.smart.session("default", cookie(browser)) is not None


async def test_a_login_form_from_elsewhere_is_refused(world):
    browser = world.browser()
    form = {"name": "doc", "password": "correct horse", "form_token": "x", "next": "/"}
    assert (await browser.http.post("/auth/login", data=form)).status_code == 403
    page = await browser.get("/auth/login")
    browser.http.cookies.clear()
    response = await browser.log_in(page)
    assert response.status_code == 403
    assert await world.smart.session("default", cookie(browser)) is None


async def test_a_wrong_password_shows_the_form_again_without_saying_why(world):
    browser = world.browser()
    page = await browser.get("/auth/login")
    wrong = await browser.submit(page, name="doc", password="wrong")
    page = await browser.get("/auth/login")
    unknown = await browser.submit(page, name="nobody", password="wrong")
    assert wrong.status_code == unknown.status_code == 403
    sentence = "not right, or the account is locked"
    assert sentence in wrong.text
    assert sentence in unknown.text


@pytest.mark.parametrize(
    ("following", "goes"),
    [
        ("/worklist?x=1", "/worklist?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
async def test_a_login_leads_within_this_server_only(world, following, goes):
    browser = world.browser()
    page = await browser.get("/auth/login", next=following)
    response = await browser.submit(page, name="doc", password="correct horse", next=following)
    assert response.headers["location"] == goes


@pytest.mark.parametrize("text", ["", "x", "=", "hounsfield-session-default=", "a" * 9000])
async def test_any_cookie_header_is_read(world, text):
    assert await world.smart.session("default", {"cookie": text}) is None
    odd = f"hounsfield-session-default={text}"
    assert await world.smart.session("default", {"cookie": odd}) is None
