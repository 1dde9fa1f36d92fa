"""Image tokens: a cookie of the same grant that renews itself, and links to one study."""

import re
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from resources.outcome import Unauthorised
from smart_auth import images

BASE = "http://127.0.0.1:8080"
RS = frozenset("rs")
STUDY = "1.2.840.99.1"
ONLY = (("identifier", f"urn:dicom:uid|urn:oid:{STUDY}"),)


@pytest.fixture
def dicomweb(world):
    """A stand-in for /dicom-web that tells the access it was given."""
    guard = images.ImageAuthorizer(world.smart)
    links = images.link_authorizer(world.smart)

    async def told(request):
        headers = dict(request.headers)
        authorizer = guard
        if link := request.path_params.get("link"):
            headers["authorization"] = f"Bearer {link}"
            authorizer = links
        try:
            access = await authorizer.access("default", headers)
        except Unauthorised:
            return JSONResponse({}, 401)
        return JSONResponse([[g.type, sorted(g.letters), g.patient] for g in access.grants])

    inner = Starlette(routes=[Route("/studies", told)])
    app = Starlette(
        routes=[
            Mount("/dicom-web/link/{link}", routes=[Route("/studies/{study}", told)]),
            Mount("/dicom-web", app=images.Renewing(inner, world.smart)),
        ]
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


async def cookie_of(world, answer, **headers):
    sent = {"Authorization": f"Bearer {answer['access_token']}"} | headers
    response = await world.http.post("/auth/image-session", headers=sent)
    assert response.status_code == 200, response.text
    return response


def value_of(response):
    return response.headers["set-cookie"].partition(";")[0]


async def look(dicomweb, cookie):
    return await dicomweb.get("/dicom-web/studies", headers={"Cookie": cookie})


async def test_the_cookie_lets_a_page_load_what_its_token_may_read(world, dicomweb):
    answer = await world.tokens()
    response = await cookie_of(world, answer)
    told = response.headers["set-cookie"]
    assert "HttpOnly" in told
    assert "Path=/dicom-web;" in told
    assert "SameSite=Lax" in told
    seen = await look(dicomweb, value_of(response))
    assert seen.json() == [["ImagingStudy", ["r", "s"], "ann"]]


async def test_the_cookie_opens_no_resources(world):
    cookie = value_of(await cookie_of(world, await world.tokens()))
    assert (await world.http.get("/fhir/Patient", headers={"Cookie": cookie})).status_code == 401
    token = cookie.partition("=")[2]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await world.http.get("/fhir/Patient", headers=bearer)).status_code == 401


async def test_a_bearer_token_goes_before_the_cookie(world, dicomweb):
    answer = await world.tokens()
    cookie = value_of(await cookie_of(world, answer))
    headers = {"Cookie": cookie, "Authorization": "Bearer wrong"}
    assert (await dicomweb.get("/dicom-web/studies", headers=headers)).status_code == 401
    headers["Authorization"] = f"Bearer {answer['access_token']}"
    assert (await dicomweb.get("/dicom-web/studies", headers=headers)).status_code == 200


async def test_the_cookie_renews_itself_as_long_as_the_grant_lasts(world, dicomweb):
    cookie = value_of(await cookie_of(world, await world.tokens()))
    assert "set-cookie" not in (await look(dicomweb, cookie)).headers
    for _ in range(10):
        world.clock.forward(600)
        seen = await look(dicomweb, cookie)
        assert seen.status_code == 200
        cookie = value_of(seen)
    world.clock.forward(900)
    assert (await look(dicomweb, cookie)).status_code == 401


async def test_without_a_refresh_token_the_cookie_ends_with_the_access_token(world, dicomweb):
    answer = await world.tokens(scope="launch/patient patient/*.rs")
    cookie = value_of(await cookie_of(world, answer))
    for _ in range(5):
        world.clock.forward(700)
        cookie = value_of(await look(dicomweb, cookie))
    world.clock.forward(100)
    assert (await look(dicomweb, cookie)).status_code == 401


async def test_an_online_grants_cookie_is_not_renewed_after_logout(world, dicomweb):
    browser = world.browser()
    asked = world.request(scope="online_access user/*.rs")
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    done = await browser.submit(page, decision="allow")
    code = re.search("code=([^&]+)", done.headers["location"])[1]
    cookie = value_of(await cookie_of(world, (await world.token(code)).json()))
    world.clock.forward(600)
    assert "set-cookie" in (await look(dicomweb, cookie)).headers
    await browser.submit(await browser.get("/auth/logout"))
    assert "set-cookie" not in (await look(dicomweb, cookie)).headers


async def test_revoking_the_grant_ends_the_cookie(world, dicomweb):
    answer = await world.tokens()
    cookie = value_of(await cookie_of(world, answer))
    assert (await look(dicomweb, cookie)).status_code == 200
    await world.post({"token": answer["refresh_token"], "client_id": "app"}, "/auth/revoke")
    assert (await look(dicomweb, cookie)).status_code == 401


async def test_a_page_of_the_apps_origin_may_send_its_token_in_a_form(world):
    answer = await world.tokens()
    form = {"access_token": answer["access_token"]}
    for origin, told in (("http://127.0.0.1:9000", "true"), ("https://evil.example", None)):
        response = await world.post(form, "/auth/image-session", headers={"Origin": origin})
        assert response.headers.get("access-control-allow-credentials") == told


async def test_without_images_in_its_scopes_a_token_gives_none(world):
    answer = await world.tokens(scope="launch/patient patient/Observation.rs")
    sent = {"Authorization": f"Bearer {answer['access_token']}"}
    response = await world.http.post("/auth/image-session", headers=sent)
    assert response.json()["error"] == "invalid_scope"


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
async def test_without_a_token_there_is_no_cookie_and_no_link(world, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert (await world.http.post("/auth/image-session", headers=headers)).status_code == 401
    form = {"study": STUDY}
    assert (await world.post(form, "/auth/study-link", headers=headers)).status_code == 401


async def link_of(world, answer, **form):
    sent = {"Authorization": f"Bearer {answer['access_token']}"}
    return await world.post({"study": STUDY} | form, "/auth/study-link", headers=sent)


async def test_a_link_shows_one_study_for_a_while(world, dicomweb):
    told = (await link_of(world, await world.tokens())).json()
    assert told["url"] == f"{told['dicomweb']}/studies/{STUDY}"
    path = urlsplit(told["url"]).path
    assert (await dicomweb.get(path)).json() == [["ImagingStudy", ["r", "s"], "ann"]]
    token = path.split("/")[3]
    bearer = {"authorization": f"Bearer {token}"}
    access = await images.link_authorizer(world.smart).access("default", bearer)
    (grant,) = access.grants
    assert (grant.type, grant.letters, grant.patient) == ("ImagingStudy", RS, "ann")
    assert grant.query == ONLY
    world.clock.forward(3600)
    assert (await dicomweb.get(path)).status_code == 401


async def test_a_link_is_no_access_token_and_no_cookie(world):
    told = (await link_of(world, await world.tokens())).json()
    token = urlsplit(told["dicomweb"]).path.split("/")[3]
    with pytest.raises(Unauthorised):
        await world.access(token)
    cookie = {"cookie": f"hounsfield-images-default={token}"}
    with pytest.raises(Unauthorised):
        await images.ImageAuthorizer(world.smart).access("default", cookie)


@pytest.mark.parametrize(
    "form",
    [
        {"study": "x"},
        {"study": "1.2|3"},
        {"study": "1." * 40 + "1"},
        {"seconds": "0"},
        {"seconds": "604801"},
        {"seconds": "soon"},
    ],
)
async def test_a_wrong_wish_for_a_link_is_refused(world, form):
    response = await link_of(world, await world.tokens(), **form)
    assert response.json()["error"] == "invalid_request"


async def test_over_https_the_cookie_reaches_a_viewer_of_another_site(world):
    from smart_auth.realm import realm

    answer = await world.tokens()
    claims = await world.smart.authorizer.claims("default", answer["access_token"])
    told = images.Images(world.smart).cookie(realm("https://a.example", "default"), claims)
    assert told.startswith("__Secure-")
    assert "SameSite=None; Secure; Partitioned" in told
