"""A browser and an app in it: authorisation code with PKCE through the pages a person would see.

SMART App Launch 2.2 (standalone launch), RFC 6749 §4.1, RFC 7636, RFC 9207.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx
from msgspec import Struct

from fhir_server.demo.rest import expect
from fhir_server.demo.step import NotHeld, require

_MOST_PAGES = 12


class Person(Struct, frozen=True):
    """Who sits at the browser: a name and a password, and which patient to choose: text and logical id."""

    name: str
    password: str
    looks_for: str = ""
    chooses: str = ""


class App(Struct, frozen=True):
    """A public client as it is registered, and the scopes that it asks for."""

    client: str
    redirect_uri: str
    scope: str


class Form(Struct):
    """A form of a page: where it goes, what is filled in, and its buttons by name and value."""

    action: str
    filled: list[tuple[str, str]] = []
    empty: list[str] = []
    buttons: list[tuple[str, str]] = []


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a form, an input or a button."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
        elif self.found and tag == "button":
            self.found[-1].buttons.append((given.get("name", ""), given.get("value", "")))
        elif self.found and tag == "input" and given.get("name"):
            self._input(self.found[-1], given)

    def _input(self, form: Form, given: Mapping[str, str]) -> None:
        kind = given.get("type", "text")
        if kind == "hidden" or (kind == "checkbox" and "checked" in given):
            form.filled.append((given["name"], given.get("value", "")))
        elif kind != "checkbox":
            form.empty.append(given["name"])


def forms(page: str) -> list[Form]:
    """Give the forms of an HTML page."""
    parser = _Forms()
    parser.feed(page)
    return parser.found


class Launch:
    """One standalone launch of an app against a server's SMART configuration."""

    def __init__(
        self, http: httpx.AsyncClient, smart: Mapping[str, Any], base: str, app: App
    ) -> None:
        self._http = http
        self._smart = smart
        self._base = base
        self._app = app
        self._verifier = secrets.token_urlsafe(48)
        self._state = secrets.token_urlsafe(16)

    async def token(self, person: Person) -> dict[str, Any]:
        """Give the token response that the app gets once the person has gone through every page."""
        url = f"{self._smart['authorization_endpoint']}?{urlencode(self._request())}"
        response = await self._http.get(url)
        for _ in range(_MOST_PAGES):
            target = response.headers.get("location", "")
            if target.startswith(self._app.redirect_uri):
                return await self._redeemed(dict(parse_qsl(urlsplit(target).query)))
            if response.is_redirect:
                response = await self._http.get(urljoin(str(response.url), target))
            else:
                expect(response, 200)
                response = await self._submitted(response, person)
        raise NotHeld("the launch did not come back to the app")

    def _request(self) -> dict[str, str]:
        digest = hashlib.sha256(self._verifier.encode()).digest()
        return {
            "response_type": "code",
            "client_id": self._app.client,
            "redirect_uri": self._app.redirect_uri,
            "scope": self._app.scope,
            "state": self._state,
            "aud": self._base,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }

    async def _submitted(self, page: httpx.Response, person: Person) -> httpx.Response:
        """Fill in the form that a page is about and send it."""
        form, more = _next(forms(page.text), person)
        fields = [*form.filled, *more]
        action = urljoin(str(page.url), form.action)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._http.post(action, content=urlencode(fields), headers=kind)

    async def _redeemed(self, answer: Mapping[str, str]) -> dict[str, Any]:
        """Check what came back with the code, and change the code for a token."""
        require("code" in answer, f"no code came back: {answer.get('error', 'nothing')}")
        require(answer.get("state") == self._state, "state came back changed")
        require(answer.get("iss") == self._smart["issuer"], "iss is not the server's issuer")
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": self._app.redirect_uri,
            "client_id": self._app.client,
            "code_verifier": self._verifier,
        }
        response = await self._http.post(self._smart["token_endpoint"], data=form)
        expect(response, 200)
        told: dict[str, Any] = response.json()
        return told


def _next(found: list[Form], person: Person) -> tuple[Form, list[tuple[str, str]]]:
    """Give the form to send and what the person adds: login, patient search, choice, consent."""
    for form in found:
        if "password" in form.empty:
            return form, [("name", person.name), ("password", person.password)]
        if ("patient", person.chooses) in form.buttons:
            return form, [("patient", person.chooses)]
        if ("decision", "allow") in form.buttons:
            return form, [("decision", "allow")]
    for form in found:
        if "text" in form.empty and person.looks_for:
            return form, [("text", person.looks_for), ("decision", "find")]
    raise NotHeld("a page offers nothing that this person could do")
