"""Requests for tokens and what becomes of them, for the tests of the authorisation server."""

from resources.outcome import Unauthorised


def error(response):
    """Give the status and error code of a refused request (RFC 6749 section 5.2); none may be kept."""
    assert response.headers["cache-control"] == "no-store", response.text
    return response.status_code, response.json().get("error")


async def refresh(world, token, **more):
    """Ask for new tokens as the public app does."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"}
    return await world.post(form | more)


async def closed(world, token, tenant="default"):
    """Whether the resource server refuses a token, by a text that does not tell it."""
    try:
        await world.access(token, tenant)
    except Unauthorised as refusal:
        return len(token) < 2 or token not in str(refusal)
    return False
