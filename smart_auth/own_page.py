"""Pages for people who are logged in: who they are, their form read once, and forged forms refused."""

import abc
from collections.abc import Mapping
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import forms
from smart_auth.oauth_error import OAuthError
from smart_auth.realm import Realm
from smart_auth.sessions import Session
from smart_auth.smart import Smart


class OwnPage(abc.ABC):
    """Answers one page of one realm: shows it, or does what its own form asks for."""

    purpose: ClassVar[str]
    """What its form token is for: one page's form is not taken by another."""

    way_back: ClassVar[str] = ""
    """Where a login leads back to, below the realm; empty for a page that is not come back to."""

    failed: ClassVar[str]
    """The heading of the message for what cannot be done."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm

    async def answer(self, request: Request) -> Response:
        """Show the page to who is logged in, or do what the form says; others are asked to log in."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        if session is None:
            back = f"?next={self._realm.local(self.way_back)}" if self.way_back else ""
            return RedirectResponse(self._realm.local("login") + back, 303)
        try:
            if request.method == "GET":
                return await self._shown(session, forms.once(forms.query(request)))
            form = forms.once(await forms.body(request))
            token = form.get("form_token", "")
            if not self._smart.sessions.is_form_token(session, self.purpose, token):
                return await self._shown(session, form, status=403)
            return await self._done(session, form)
        except OAuthError as error:
            return self._smart.pages.message(self.failed, error.description, 400)

    def _form_token(self, session: Session) -> str:
        return self._smart.sessions.form_token(session, self.purpose)

    @abc.abstractmethod
    async def _shown(
        self, session: Session, asked: Mapping[str, str], *, status: int = 200
    ) -> Response:
        """Show the page; what was `asked` comes of the address, or of a form that is not done."""

    @abc.abstractmethod
    async def _done(self, session: Session, form: Mapping[str, str]) -> Response:
        """Do what a form of this session says."""
