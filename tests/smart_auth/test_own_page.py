"""What the pages for people who are logged in have in common: the login before, forged forms refused."""

import pytest

PAGES = ("apps", "simulator", "second-factor")


@pytest.fixture
async def browser(world):
    made = world.browser()
    await made.log_in(await made.get("/auth/login"))
    return made


@pytest.mark.parametrize(
    ("page", "to"),
    [
        ("apps", "/auth/login"),
        ("simulator", "/auth/login?next=/auth/simulator"),
        ("second-factor", "/auth/login?next=/auth/second-factor"),
    ],
)
async def test_who_is_not_logged_in_is_sent_to_the_login(world, page, to):
    for answer in (await world.http.get(f"/auth/{page}"), await world.post({}, f"/auth/{page}")):
        assert (answer.status_code, answer.headers["location"]) == (303, to)


@pytest.mark.parametrize("page", PAGES)
async def test_a_form_is_taken_only_with_the_token_of_its_own_page(browser, page):
    shown = {one: await browser.get(f"/auth/{one}") for one in PAGES}
    others = [_token(text) for one, text in shown.items() if one != page]
    for token in ("", "forged", *others):
        refused = await browser.submit(shown[page], form_token=token)
        assert refused.status_code == 403
    taken = await browser.submit(shown[page], decision="begin", app="unknown")
    assert taken.status_code != 403


def _token(page):
    return page.text.partition('name="form_token" value="')[2].partition('"')[0]


@pytest.mark.parametrize("page", PAGES)
async def test_a_form_that_cannot_be_read_is_told(browser, page):
    path = f"/auth/{page}"
    assert (await browser.http.post(path, json={})).status_code == 400
    twice = {"content": "a=1&a=2", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    assert (await browser.http.post(path, **twice)).status_code == 400
