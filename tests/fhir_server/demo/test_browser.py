"""The browser finds the form that a page is about and sends what a person would."""

import httpx
import pytest

from fhir_server.demo.browser import App, Launch, Person, _next, forms
from fhir_server.demo.step import NotHeld

LOGIN = """<form method="post" action="/auth/login"><input type="hidden" name="next" value="/a?b=1&amp;c=2">
<input type="text" name="name"><input type="password" name="password"><button>Log in</button></form>"""
PICKER = """<form action="/find"><input type="search" name="text"><button name="decision" value="find">
</button></form><form action="/pick"><button name="patient" value="p1">A</button>
<button name="decision" value="deny">Cancel</button></form>"""
CONSENT = """<form action="/consent"><input type="hidden" name="patient" value="p1">
<input type="checkbox" name="scope" value="patient/*.rs" checked><input type="checkbox" name="scope"
value="offline_access"><button name="decision" value="allow">Allow</button></form>"""
PERSON = Person("doc", "secret", "Lind", "p1")
SMART = {
    "issuer": "http://x",
    "authorization_endpoint": "http://x/auth/authorize",
    "token_endpoint": "http://x/auth/token",
}
APP = App("viewer", "http://127.0.0.1/back", "patient/*.rs")


def test_a_login_form_is_filled_in_and_keeps_its_hidden_values():
    form, more = _next(forms(LOGIN), PERSON)
    assert form.action == "/auth/login"
    assert form.filled == [("next", "/a?b=1&c=2")]
    assert more == [("name", "doc"), ("password", "secret")]


def test_the_patient_is_chosen_where_shown_and_looked_for_where_not():
    form, more = _next(forms(PICKER), PERSON)
    assert (form.action, more) == ("/pick", [("patient", "p1")])
    form, more = _next(forms(PICKER.replace("p1", "p2")), PERSON)
    assert (form.action, more) == ("/find", [("text", "Lind"), ("decision", "find")])


def test_consent_leaves_the_ticked_scopes_ticked():
    form, more = _next(forms(CONSENT), PERSON)
    assert form.filled == [("patient", "p1"), ("scope", "patient/*.rs")]
    assert more == [("decision", "allow")]


def test_a_page_on_which_nothing_can_be_done_is_refused():
    with pytest.raises(NotHeld):
        _next(
            forms("<form action='/x'><button name='decision' value='deny'></button></form>"), PERSON
        )


@pytest.mark.parametrize(
    ("back", "problem"),
    [
        ("?error=access_denied", "access_denied"),
        ("?code=c&state=another&iss=http%3A%2F%2Fx", "state"),
    ],
)
async def test_an_error_or_another_state_ends_the_launch(back, problem):
    def answer(request):
        return httpx.Response(303, headers={"location": APP.redirect_uri + back})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(NotHeld, match=problem):
            await Launch(http, SMART, "http://x/fhir", APP).token(PERSON)


async def test_another_issuer_ends_the_launch():
    def answer(request):
        back = f"?code=c&state={request.url.params['state']}&iss=http%3A%2F%2Fevil"
        return httpx.Response(303, headers={"location": APP.redirect_uri + back})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(NotHeld, match="issuer"):
            await Launch(http, SMART, "http://x/fhir", APP).token(PERSON)
