"""The second factor: enrolled by a first code, asked for at login, each code good once, secrets sealed."""

import base64
import re

import pytest

from smart_auth import totp
from smart_auth.policy import Policy
from smart_auth.seal import Seal, Unsealable
from smart_auth.users import demand_second_factor


def code_of(world, shown, ahead=0):
    secret = base64.b32decode(shown)
    return totp.code(secret, world.clock() // totp.STEP_MS + ahead)


def key_on(page):
    return re.search(r"<code>([A-Z2-7]{32})</code>", page.text)[1]


def recovery_on(page):
    return re.findall(r"<code>([a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4})</code>", page.text)


async def enrolled(world):
    """Turn doc's second factor on by the page; give the key and the recovery codes."""
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    page = await browser.submit(await browser.get("/auth/second-factor"), decision="begin")
    key = key_on(page)
    page = await browser.submit(page, decision="confirm", code=code_of(world, key))
    world.clock.forward(30)
    return key, recovery_on(page)


async def asked(world):
    """Give the password; give the browser and the page that asks for a code."""
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/login", next="/auth/second-factor"))
    return browser, page


async def test_a_login_asks_for_the_code_of_the_app(world):
    key, codes = await enrolled(world)
    assert len(set(codes)) == 10
    browser, page = await asked(world)
    assert "Your second factor" in page.text
    page = await browser.submit(page, code=code_of(world, key))
    assert "Your second factor is on" in page.text


async def test_before_the_code_there_is_no_session(world):
    await enrolled(world)
    browser, _ = await asked(world)
    assert await world.smart.session("default", dict(cookies(browser))) is None


def cookies(browser):
    text = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
    return {"cookie": text}


async def test_the_id_token_tells_how_the_user_logged_in(world):
    from joserfc import jwt
    from joserfc.jwk import KeySet

    key, _ = await enrolled(world)
    browser = world.browser()
    page = await browser.log_in(await browser.get("/auth/authorize", **world.request()))
    page = await browser.submit(page, code=code_of(world, key))
    page = await browser.submit(page, nth=1, patient="ann")
    done = await browser.submit(page, decision="allow")
    code = re.search(r"code=([^&]+)", done.headers["location"])[1]
    answer = (await world.token(code)).json()
    keys = KeySet.import_key_set((await world.http.get("/auth/jwks")).json())
    claims = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["amr"] == ["pwd", "otp", "mfa"]


async def test_a_code_and_a_recovery_code_are_each_good_once(world):
    key, codes = await enrolled(world)
    code = code_of(world, key)
    for given, right in ((code, True), (code, False), (codes[0], True), (codes[0], False)):
        browser, page = await asked(world)
        page = await browser.submit(page, code=given)
        assert ("Your second factor is on" in page.text) is right


async def test_after_five_wrong_codes_the_right_one_is_refused_for_a_while(world):
    key, _ = await enrolled(world)
    browser, page = await asked(world)
    for _ in range(5):
        page = await browser.submit(page, code="000000")
        assert page.status_code == 403
    page = await browser.submit(page, code=code_of(world, key))
    assert page.status_code == 403
    world.clock.forward(15 * 60)
    browser, page = await asked(world)
    page = await browser.submit(page, code=code_of(world, key))
    assert page.status_code == 200


@pytest.mark.parametrize(
    "changes", [{"step": "9999999999999:doc"}, {"form_token": "x"}, {"step": ""}]
)
async def test_a_forged_step_leads_back_to_the_password(world, changes):
    key, _ = await enrolled(world)
    browser, page = await asked(world)
    page = await browser.submit(page, code=code_of(world, key), **changes)
    assert page.status_code == 403
    assert 'name="password"' in page.text


async def test_a_step_of_another_browser_leads_back_to_the_password(world):
    key, _ = await enrolled(world)
    _, page = await asked(world)
    other = world.browser()
    await other.get("/auth/login")
    page = await other.submit(page, code=code_of(world, key))
    assert 'name="password"' in page.text


async def test_a_step_is_good_for_five_minutes(world):
    key, _ = await enrolled(world)
    browser, page = await asked(world)
    world.clock.forward(300)
    page = await browser.submit(page, code=code_of(world, key))
    assert 'name="password"' in page.text


async def test_who_needs_a_factor_sets_it_up_at_the_first_login(world):
    await demand_second_factor(world.documents, "default", "doc")
    browser, page = await asked(world)
    assert "Set up your second factor" in page.text
    wrong = await browser.submit(page, code="000000")
    assert key_on(wrong) == key_on(page)
    done = await browser.submit(page, code=code_of(world, key_on(page)))
    assert len(recovery_on(done)) == 10
    page = await browser.get("/auth/second-factor")
    refused = await browser.submit(page, decision="remove", code=recovery_on(done)[0])
    assert refused.status_code == 403


async def test_the_policy_can_demand_it_of_everyone(another):
    world = another(policy=Policy(second_factor=True))
    _, page = await asked(world)
    assert "Set up your second factor" in page.text


async def test_it_is_taken_away_with_a_code(world):
    key, _ = await enrolled(world)
    browser, page = await asked(world)
    page = await browser.submit(page, code=code_of(world, key))
    world.clock.forward(30)
    page = await browser.submit(page, decision="remove", code=code_of(world, key))
    assert "Set it up" in page.text
    _, page = await asked(world)
    assert "Second factor" in page.text
    assert "code" not in page.headers.get("location", "")


async def test_a_forged_form_of_the_page_is_refused(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    page = await browser.get("/auth/second-factor")
    forged = await browser.submit(page, decision="begin", form_token="x")
    assert forged.status_code == 403
    user = await world.smart.users.get("default", "doc")
    assert await world.smart.factors.state("default", user.sub) == "off"


async def test_the_store_holds_neither_secret_nor_recovery_codes(world):
    key, codes = await enrolled(world)
    held = b"".join(document.value for document in world.documents.held.values())
    assert key.encode() not in held
    assert base64.b32decode(key) not in held
    assert not any(code.encode() in held for code in codes)


def test_what_is_sealed_opens_for_its_purpose_and_key_only():
    seal = Seal(b"k" * 32)
    closed = seal.close(b"secret", "one")
    assert seal.open(closed, "one") == b"secret"
    for other, purpose in ((seal, "two"), (Seal(b"l" * 32), "one")):
        with pytest.raises(Unsealable):
            other.open(closed, purpose)
