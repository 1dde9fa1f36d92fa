"""The conversation with the person: authorisation request, login, patient choice, consent, logout."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from smart_auth import authorize, consent, forms, launch
from smart_auth.authorize import AuthorizationRequest, Misdirected, Refused
from smart_auth.grant import Granted
from smart_auth.launch import PatientChoice
from smart_auth.oauth_error import (
    AccessDenied,
    ConsentRequired,
    InvalidRequest,
    LoginRequired,
    OAuthError,
)
from smart_auth.realm import Realm
from smart_auth.sessions import Session, session_access
from smart_auth.smart import Smart


class Browser:
    """Answers the requests that a browser makes under /auth of one realm."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm

    async def authorize(self, request: Request) -> Response:
        """Answer an authorisation request; one that was posted is asked for again by GET.

        Cookies with SameSite=Lax come with a GET from another site and not with its POST.
        """
        try:
            if request.method == "POST":
                again = urlencode(await forms.body(request))
                return RedirectResponse(f"{self._realm.local('authorize')}?{again}", 303)
            pairs = forms.query(request)
            parameters = forms.once(pairs)
            asked = await authorize.check(self._smart.documents, self._realm, parameters)
            session = await self._smart.sessions.find(self._realm, request.headers)
            if session is None or self._is_too_old(asked, session):
                return self._to_login(asked, parameters)
            if asked.prompt == "none":
                raise self._refused(asked, ConsentRequired("The user must be asked"))
            form = {"request": urlencode(pairs)}
            return await self._ask(asked, session, form)
        except Refused as refused:
            return RedirectResponse(refused.location, 303)
        except OAuthError as error:
            return self._message("This request cannot be answered", error.description, 400)

    async def decide(self, request: Request) -> Response:
        """Answer a form of the patient or consent page: each carries the whole request, checked anew."""
        try:
            pairs = await forms.body(request)
            form = forms.once(pair for pair in pairs if pair[0] != "scope")
            ticked = frozenset(value for name, value in pairs if name == "scope")
            text = form.get("request", "")
            session = await self._smart.sessions.find(self._realm, request.headers)
            if session is None or not self._smart.sessions.is_form_token(
                session, text, form.get("form_token", "")
            ):
                raise Misdirected("The page was open for too long. Start again from the app.")
            parameters = forms.once(forms.pairs(text))
            asked = await authorize.check(self._smart.documents, self._realm, parameters)
            return await self._decided(asked, session, form, ticked)
        except Refused as refused:
            return RedirectResponse(refused.location, 303)
        except OAuthError as error:
            return self._message("This request cannot be answered", error.description, 400)

    async def login_page(self, request: Request) -> Response:
        """Show the login form; `next` is where to go afterwards, within this server only."""
        return self._login_form(_local(request.query_params.get("next", "")), wrong=False)

    async def login(self, request: Request) -> Response:
        """Answer the login form: a session, or the form again."""
        try:
            form = forms.once(await forms.body(request))
        except InvalidRequest as error:
            return self._message("This form cannot be read", error.description, 400)
        following = _local(form.get("next", ""))
        token = form.get("form_token", "")
        if not self._smart.sessions.is_login_token(self._realm, request.headers, token):
            return self._login_form(following, wrong=False, status=403)
        user = await self._smart.users.authenticate(
            self._realm.tenant, form.get("name", ""), form.get("password", "")
        )
        if user is None:
            return self._login_form(following, wrong=True, status=403)
        cookie = await self._smart.sessions.start(self._realm, user)
        response = RedirectResponse(following or f"{self._realm.path}/", 303)
        response.headers.append("Set-Cookie", cookie)
        return response

    async def logout_page(self, request: Request) -> Response:
        """Ask whether to log out; a link alone must not do it."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        if session is None:
            return self._message("Logged out", "Nobody is logged in in this browser.", 200)
        return self._page(
            "logout",
            user=session.user,
            action=self._realm.local("logout"),
            form_token=self._smart.sessions.form_token(session, "logout"),
        )

    async def logout(self, request: Request) -> Response:
        """End the session of the browser."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        try:
            token = forms.once(await forms.body(request)).get("form_token", "")
        except InvalidRequest:
            token = ""
        if session is None or not self._smart.sessions.is_form_token(session, "logout", token):
            return RedirectResponse(self._realm.local("logout"), 303)
        cookie = await self._smart.sessions.end(self._realm, session)
        response = self._message("Logged out", "You are logged out of this server.", 200)
        response.headers.append("Set-Cookie", cookie)
        return response

    async def _decided(
        self,
        asked: AuthorizationRequest,
        session: Session,
        form: Mapping[str, str],
        ticked: frozenset[str],
    ) -> Response:
        decision = form.get("decision")
        if decision == "deny":
            raise self._refused(asked, AccessDenied("The user did not allow it"))
        if decision != "allow":
            return await self._ask(asked, session, form)
        patient = await self._patient(asked, session, form)
        if asked.scopes.needs_patient and patient is None:
            return await self._ask(asked, session, form)
        return await self._grant(asked, session, patient, ticked)

    async def _ask(
        self, asked: AuthorizationRequest, session: Session, form: Mapping[str, str]
    ) -> Response:
        """Show the page for what is still open: the patient, or consent."""
        patient = await self._patient(asked, session, form)
        request = form["request"]
        shared: dict[str, Any] = {
            "client": asked.client.name,
            "action": self._realm.local("consent"),
            "request": request,
            "form_token": self._smart.sessions.form_token(session, request),
        }
        if asked.scopes.needs_patient and patient is None:
            text = form.get("text", "")
            choices = await self._smart.patients.find(
                self._realm.tenant, session_access(session), text
            )
            return self._page("patient", choices=choices, text=text, **shared)
        return self._page(
            "consent",
            user=session.user,
            patient=patient,
            lines=consent.lines(asked.scopes),
            returns_to=_shown(asked.redirect_uri),
            **shared,
        )

    async def _patient(
        self, asked: AuthorizationRequest, session: Session, form: Mapping[str, str]
    ) -> PatientChoice | None:
        if not asked.scopes.needs_patient:
            return None
        try:
            return await launch.chosen(
                self._smart.patients, self._realm.tenant, session, form.get("patient", "")
            )
        except AccessDenied as error:
            raise self._refused(asked, error) from None

    async def _grant(
        self,
        asked: AuthorizationRequest,
        session: Session,
        patient: PatientChoice | None,
        ticked: frozenset[str],
    ) -> Response:
        allowed = consent.agreed(asked.scopes, ticked)
        if not allowed:
            raise self._refused(asked, AccessDenied("The user allowed nothing of it"))
        granted = Granted(
            client=asked.client.id,
            user=session.user,
            sub=session.sub,
            fhir_user=session.fhir_user,
            scope=allowed.text,
            authenticated=session.since,
            session=session.key,
            patient=patient.id if patient and allowed.needs_patient else None,
            nonce=asked.nonce,
        )
        code = await self._smart.grants.code(
            self._realm.tenant, granted, asked.redirect_uri, asked.challenge
        )
        return RedirectResponse(authorize.code_location(self._realm, asked, code), 303)

    def _is_too_old(self, asked: AuthorizationRequest, session: Session) -> bool:
        """Tell whether the user must log in again for this request (OpenID Connect Core §3.1.2.1)."""
        if asked.prompt == "login":
            return True
        age = (self._smart.clock() - session.since) / 1_000
        return asked.max_age is not None and age > asked.max_age

    def _to_login(self, asked: AuthorizationRequest, parameters: Mapping[str, str]) -> Response:
        """Show the login form, to come back with the same request, its wish for a login fulfilled."""
        if asked.prompt == "none":
            raise self._refused(asked, LoginRequired("Nobody is logged in"))
        kept = {k: v for k, v in parameters.items() if k not in {"prompt", "max_age"}}
        following = f"{self._realm.local('authorize')}?{urlencode(kept)}"
        return self._login_form(following, wrong=False)

    def _refused(self, asked: AuthorizationRequest, error: OAuthError) -> Refused:
        location = authorize.error_location(self._realm, asked.redirect_uri, asked.state, error)
        return Refused(error, location)

    def _login_form(self, following: str, *, wrong: bool, status: int = 200) -> Response:
        token, cookie = self._smart.sessions.login_token(self._realm)
        response = self._page(
            "login",
            status=status,
            action=self._realm.local("login"),
            form_token=token,
            next=following,
            wrong=wrong,
        )
        response.headers.append("Set-Cookie", cookie)
        return response

    def _message(self, title: str, text: str, status: int) -> Response:
        return self._page("message", status=status, title=title, text=text)

    def _page(self, name: str, *, status: int = 200, **values: Any) -> Response:
        html = self._smart.pages.render(name, **values)
        return HTMLResponse(html, status, headers=self._smart.pages.headers)


def _local(path: str) -> str:
    """Give the path if it stays on this server, else nothing (RFC 9700 §4.11: no open redirector)."""
    starts_here = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if starts_here and path.isascii() and path.isprintable() else ""


def _shown(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
