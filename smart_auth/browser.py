"""The conversation about an authorisation: request, what is in context, consent, and back to the app."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import authorize, consent, forms, launch
from smart_auth.authorize import AuthorizationRequest, Misdirected, Refused
from smart_auth.grant import Granted
from smart_auth.launch import Picked, Picking
from smart_auth.launches import Launch
from smart_auth.login import Login
from smart_auth.oauth_error import (
    AccessDenied,
    ConsentRequired,
    InvalidRequest,
    LoginRequired,
    OAuthError,
)
from smart_auth.realm import Realm
from smart_auth.sessions import Session
from smart_auth.smart import Smart

_ASKED = {
    "patient": "Which patient is {} to work with?",
    "encounter": "Which visit is {} to work with?",
    "imagingstudy": "Which imaging study is {} to work with?",
}


class Browser:
    """Answers the requests that a browser makes for an app at one realm."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm
        self._login = Login(smart, realm)

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
            launched = await self._launched(asked)
            session = await self._smart.sessions.find(self._realm, request.headers)
            if session is None or self._must_log_in(asked, session, launched):
                return await self._to_login(asked, parameters, launched)
            if asked.prompt == "none":
                raise self._refused(asked, ConsentRequired("The user must be asked"))
            form = {"request": urlencode(pairs)}
            return await self._ask(asked, session, form)
        except Refused as refused:
            return RedirectResponse(refused.location, 303)
        except OAuthError as error:
            return self._unanswerable(error)

    async def decide(self, request: Request) -> Response:
        """Answer a form of a picker or of consent: each carries the whole request, checked anew."""
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
            return self._unanswerable(error)

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
        picked = await self._picked(asked, session, form)
        if picked.open:
            return await self._ask(asked, session, form)
        return await self._grant(asked, session, picked, ticked)

    async def _ask(
        self, asked: AuthorizationRequest, session: Session, form: Mapping[str, str]
    ) -> Response:
        """Show the page for what is still open: patient, visit, study, or consent."""
        picked = await self._picked(asked, session, form)
        request = form["request"]
        shared: dict[str, Any] = {
            "client": asked.client.name,
            "action": self._realm.local("consent"),
            "request": request,
            "form_token": self._smart.sessions.form_token(session, request),
            "held": [
                (name, form[name])
                for name in ("patient", "encounter", "imagingstudy")
                if name in form
            ],
        }
        if picked.open:
            return await self._pick(picked, session, form.get("text", ""), shared)
        return self._smart.pages.answer(
            "consent",
            user=session.user,
            patient=picked.patient,
            shown=picked.shown,
            lines=consent.lines(asked.scopes),
            returns_to=_shown(asked.redirect_uri),
            **shared,
        )

    async def _pick(
        self, picked: Picked, session: Session, text: str, shared: dict[str, Any]
    ) -> Response:
        choices = await self._picking(session).choices(picked, text)
        return self._smart.pages.answer(
            "pick",
            what=picked.open,
            question=_ASKED[picked.open].format(shared["client"]),
            choices=choices,
            text=text,
            without=launch.WITHOUT,
            **shared,
        )

    def _picking(self, session: Session) -> Picking:
        return Picking(self._smart.patients, self._realm.tenant, session)

    async def _picked(
        self, asked: AuthorizationRequest, session: Session, form: Mapping[str, str]
    ) -> Picked:
        launched = await self._launched(asked)
        try:
            return await self._picking(session).given(asked.scopes, form, launched)
        except AccessDenied as error:
            raise self._refused(asked, error) from None

    async def _launched(self, asked: AuthorizationRequest) -> Launch | None:
        """Give what the EHR launched the app with, None of a standalone launch."""
        if asked.launch is None:
            return None
        try:
            return await self._smart.launches.find(
                self._realm.tenant, asked.client.id, asked.launch
            )
        except InvalidRequest as error:
            raise self._refused(asked, error) from None

    async def _grant(
        self,
        asked: AuthorizationRequest,
        session: Session,
        picked: Picked,
        ticked: frozenset[str],
    ) -> Response:
        allowed = consent.agreed(asked.scopes, ticked)
        if not allowed:
            raise self._refused(asked, AccessDenied("The user allowed nothing of it"))
        tenant = self._realm.tenant
        if asked.launch is not None and not await self._smart.launches.take(tenant, asked.launch):
            raise self._refused(asked, InvalidRequest("launch was used by another request"))
        patient, context = launch.allowed(picked, allowed)
        granted = Granted(
            client=asked.client.id,
            user=session.user,
            sub=session.sub,
            fhir_user=session.fhir_user,
            scope=allowed.text,
            authenticated=session.since,
            session=session.key,
            patient=patient,
            launch=context,
            methods=session.methods,
            nonce=asked.nonce,
        )
        code = await self._smart.grants.code(tenant, granted, asked.redirect_uri, asked.challenge)
        return RedirectResponse(authorize.code_location(self._realm, asked, code), 303)

    def _must_log_in(
        self, asked: AuthorizationRequest, session: Session, launched: Launch | None
    ) -> bool:
        """Tell whether someone must log in for this request (OpenID Connect Core §3.1.2.1)."""
        if asked.prompt == "login":
            return True
        if launched is not None and launched.fhir_user not in {None, session.fhir_user}:
            return True
        age = (self._smart.clock() - session.since) / 1_000
        return asked.max_age is not None and age > asked.max_age

    async def _to_login(
        self,
        asked: AuthorizationRequest,
        parameters: Mapping[str, str],
        launched: Launch | None,
    ) -> Response:
        """Show the login form, to come back with the same request, its wish for a login fulfilled."""
        if asked.prompt == "none":
            raise self._refused(asked, LoginRequired("Nobody is logged in"))
        kept = {k: v for k, v in parameters.items() if k not in {"prompt", "max_age"}}
        following = f"{self._realm.local('authorize')}?{urlencode(kept)}"
        return self._login.form(following, name=launched.user if launched else "")

    def _refused(self, asked: AuthorizationRequest, error: OAuthError) -> Refused:
        location = authorize.error_location(self._realm, asked.redirect_uri, asked.state, error)
        return Refused(error, location)

    def _unanswerable(self, error: OAuthError) -> Response:
        return self._smart.pages.message("This request cannot be answered", error.description, 400)


def _shown(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
