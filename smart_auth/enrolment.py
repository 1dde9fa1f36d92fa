"""The page where people who are logged in set up, or take away, their second factor."""

from collections.abc import Mapping

from starlette.responses import Response

from smart_auth import totp
from smart_auth.own_page import OwnPage
from smart_auth.sessions import Session


class Enrolment(OwnPage):
    """What the second factor is; its form begins, confirms with a code, or removes with a code."""

    purpose = "second factor"
    way_back = "second-factor"
    failed = "This form cannot be read"

    async def _done(self, session: Session, form: Mapping[str, str]) -> Response:
        decision, code = form.get("decision", ""), form.get("code", "")
        tenant, factors = self._realm.tenant, self._smart.factors
        state = await factors.state(tenant, session.sub)
        if decision == "begin" and state != "on":
            await factors.begin(tenant, session.sub)
            return await self._state(session)
        if decision == "confirm" and state == "begun":
            codes = await factors.confirm(tenant, session.sub, code)
            if codes is not None:
                following = self._realm.local("second-factor")
                return self._smart.pages.answer("recovery", codes=codes, following=following)
        if decision == "remove" and state == "on" and await self._may_remove(session, code):
            await factors.remove(tenant, session.sub)
            return await self._state(session)
        return await self._state(session, 403, wrong=True)

    async def _may_remove(self, session: Session, code: str) -> bool:
        """Tell whether the code is right and the user may be without a second factor."""
        user = await self._smart.users.get(self._realm.tenant, session.user)
        needed = self._smart.policy.second_factor or (user is not None and user.second_factor)
        return not needed and await self._smart.factors.verify(
            self._realm.tenant, session.sub, code
        )

    async def _shown(
        self, session: Session, asked: Mapping[str, str], *, status: int = 200
    ) -> Response:
        del asked
        return await self._state(session, status)

    async def _state(self, session: Session, status: int = 200, *, wrong: bool = False) -> Response:
        tenant, factors = self._realm.tenant, self._smart.factors
        secret = await factors.begun(tenant, session.sub)
        return self._smart.pages.answer(
            "second_factor",
            status,
            state=await factors.state(tenant, session.sub),
            secret=totp.shown(secret) if secret else "",
            address=totp.address(secret, session.user, "Hounsfield") if secret else "",
            action=self._realm.local("second-factor"),
            form_token=self._form_token(session),
            wrong=wrong,
        )
