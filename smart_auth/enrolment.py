"""The page where people who are logged in set up, or take away, their second factor."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import forms, totp
from smart_auth.oauth_error import InvalidRequest
from smart_auth.realm import Realm
from smart_auth.sessions import Session
from smart_auth.smart import Smart

_PURPOSE = "second factor"


class Enrolment:
    """Answers the page of one realm."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm

    async def answer(self, request: Request) -> Response:
        """Show what is, or do what the form says: begin, confirm with a code, remove with a code."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        if session is None:
            place = self._realm.local("second-factor")
            return RedirectResponse(f"{self._realm.local('login')}?next={place}", 303)
        if request.method == "GET":
            return await self._shown(session)
        try:
            form = forms.once(await forms.body(request))
        except InvalidRequest as error:
            return self._smart.pages.message("This form cannot be read", error.description, 400)
        token = form.get("form_token", "")
        if not self._smart.sessions.is_form_token(session, _PURPOSE, token):
            return await self._shown(session, status=403)
        return await self._done(session, form.get("decision", ""), form.get("code", ""))

    async def _done(self, session: Session, decision: str, code: str) -> Response:
        tenant, factors = self._realm.tenant, self._smart.factors
        state = await factors.state(tenant, session.sub)
        if decision == "begin" and state != "on":
            await factors.begin(tenant, session.sub)
            return await self._shown(session)
        if decision == "confirm" and state == "begun":
            codes = await factors.confirm(tenant, session.sub, code)
            if codes is not None:
                following = self._realm.local("second-factor")
                return self._smart.pages.answer("recovery", codes=codes, following=following)
        if decision == "remove" and state == "on" and await self._may_remove(session, code):
            await factors.remove(tenant, session.sub)
            return await self._shown(session)
        return await self._shown(session, wrong=True, status=403)

    async def _may_remove(self, session: Session, code: str) -> bool:
        """Tell whether the code is right and the user may be without a second factor."""
        user = await self._smart.users.get(self._realm.tenant, session.user)
        needed = self._smart.policy.second_factor or (user is not None and user.second_factor)
        return not needed and await self._smart.factors.verify(
            self._realm.tenant, session.sub, code
        )

    async def _shown(self, session: Session, *, wrong: bool = False, status: int = 200) -> Response:
        tenant, factors = self._realm.tenant, self._smart.factors
        secret = await factors.begun(tenant, session.sub)
        return self._smart.pages.answer(
            "second_factor",
            status,
            state=await factors.state(tenant, session.sub),
            secret=totp.shown(secret) if secret else "",
            address=totp.address(secret, session.user, "Hounsfield") if secret else "",
            action=self._realm.local("second-factor"),
            form_token=self._smart.sessions.form_token(session, _PURPOSE),
            wrong=wrong,
        )
