"""What the authorisation server's routes tell the trail: whose act it was, and of what kind."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fhir_server.access import Access
from fhir_server.http import signing_in

DORA = Access("sub-dora", fhir_user="Practitioner/d77")


class Trail:
    def __init__(self):
        self.told = []

    def event(self, tenant, door, act, status, access=None, **more):
        self.told.append((act, status, more["subject"], more["user"]))


async def session(tenant, headers):
    return DORA if "live" in headers.get("cookie", "") else None


async def arrive(request):
    response = RedirectResponse("/", 303)
    response.headers.append("Set-Cookie", "other=1; Path=/")
    response.headers.append("Set-Cookie", "session=live; Path=/")
    return response


async def plain(request):
    return Response(status_code=200)


@pytest.fixture
def trail():
    return Trail()


@pytest.fixture
def http_(trail):
    routes = [
        Route("/auth/external/{issuer}/callback", arrive),
        Route("/auth/login", arrive, methods=["POST"]),
        Route("/auth/apps", plain, methods=["GET", "POST"]),
    ]
    app = Starlette(routes=signing_in.audited(routes, trail, session))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.example")


async def test_a_login_at_a_provider_outside_is_told_with_the_person(http_, trail):
    await http_.get("/auth/external/hospital/callback?code=x&state=y")
    assert trail.told == [("login", 200, "sub-dora", "Practitioner/d77")]


async def test_a_login_by_password_is_told_with_the_name_that_was_given(http_, trail):
    await http_.post("/auth/login", data={"name": "dora", "password": "x"})
    assert trail.told == [("login", 200, "dora", "Practitioner/d77")]


async def test_opening_an_app_from_our_pages_is_a_launch_and_looking_is_nothing(http_, trail):
    await http_.get("/auth/apps")
    await http_.post("/auth/apps", headers={"Cookie": "session=live"})
    assert trail.told == [("launch", 200, "sub-dora", "Practitioner/d77")]
