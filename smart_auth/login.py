"""Logging in and out: password, second factor, or an external provider; then back to where one came from."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import forms, totp
from smart_auth.oauth_error import InvalidRequest
from smart_auth.realm import Realm
from smart_auth.smart import Smart
from smart_auth.users import User

_STEP_MS = 300_000
PASSWORD = ("pwd",)
TWO_FACTORS = ("pwd", "otp", "mfa")


class Login:
    """Answers the requests of a browser that logs in or out at one realm."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm

    def form(
        self, following: str, *, wrong: bool = False, status: int = 200, name: str = ""
    ) -> Response:
        """Give the login form; `following` is a path of this server, `name` who is expected."""
        token, cookie = self._smart.sessions.login_token(self._realm)
        query = f"?{urlencode({'next': following})}" if following else ""
        response = self._smart.pages.answer(
            "login",
            status,
            action=self._realm.local("login"),
            form_token=token,
            next=following,
            name=name,
            wrong=wrong,
            providers=[
                (issuer.title or issuer.name, self._realm.local(f"external/{issuer.name}") + query)
                for issuer in self._smart.external.providers(self._realm.tenant)
            ],
        )
        response.headers.append("Set-Cookie", cookie)
        return response

    async def page(self, request: Request) -> Response:
        """Show the login form; `next` is where to go afterwards, within this server only."""
        return self.form(local(request.query_params.get("next", "")))

    async def submit(self, request: Request) -> Response:
        """Answer the login form: a session, the question for a code, or the form again."""
        address = request.client.host if request.client else ""
        if self._smart.failures.too_many(address):
            return self._slow_down()
        try:
            form = forms.once(await forms.body(request))
        except InvalidRequest as error:
            return self._smart.pages.message("This form cannot be read", error.description, 400)
        following = local(form.get("next", ""))
        token = form.get("form_token", "")
        if not self._smart.sessions.is_login_token(self._realm, request.headers, token):
            return self.form(following, status=403)
        user = await self._smart.users.authenticate(
            self._realm.tenant, form.get("name", ""), form.get("password", "")
        )
        if user is None:
            self._smart.failures.count(address)
            return self.form(following, wrong=True, status=403)
        return await self._after_password(request, user, following)

    async def code(self, request: Request) -> Response:
        """Answer the form of the second factor: a session, with recovery codes where it is new."""
        try:
            form = forms.once(await forms.body(request))
        except InvalidRequest as error:
            return self._smart.pages.message("This form cannot be read", error.description, 400)
        following = local(form.get("next", ""))
        user = await self._stepping(request, form.get("step", ""), form.get("form_token", ""))
        if user is None:
            return self.form(following, status=403)
        given, tenant, factors = form.get("code", ""), self._realm.tenant, self._smart.factors
        if await factors.state(tenant, user.sub) == "on":
            if not await factors.verify(tenant, user.sub, given):
                return await self._ask_code(request, user, following, wrong=True)
            return await self.begin(user, following, TWO_FACTORS)
        codes = await factors.confirm(tenant, user.sub, given)
        if codes is None:
            return await self._ask_code(request, user, following, wrong=True)
        response = self._smart.pages.answer(
            "recovery", codes=codes, following=following or f"{self._realm.path}/"
        )
        cookie = await self._smart.sessions.start(self._realm, user, TWO_FACTORS)
        response.headers.append("Set-Cookie", cookie)
        return response

    async def begin(self, user: User, following: str, methods: tuple[str, ...]) -> Response:
        """Start the session and go on."""
        cookie = await self._smart.sessions.start(self._realm, user, methods)
        response = RedirectResponse(following or f"{self._realm.path}/", 303)
        response.headers.append("Set-Cookie", cookie)
        return response

    async def logout_page(self, request: Request) -> Response:
        """Ask whether to log out; a link alone must not do it."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        if session is None:
            return self._smart.pages.message("Logged out", "Nobody is logged in in this browser.")
        return self._smart.pages.answer(
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
        response = self._smart.pages.message("Logged out", "You are logged out of this server.")
        response.headers.append("Set-Cookie", cookie)
        return response

    async def _after_password(self, request: Request, user: User, following: str) -> Response:
        state = await self._smart.factors.state(self._realm.tenant, user.sub)
        if state == "on" or user.second_factor or self._smart.policy.second_factor:
            return await self._ask_code(request, user, following, wrong=False)
        return await self.begin(user, following, PASSWORD)

    async def _ask_code(
        self, request: Request, user: User, following: str, *, wrong: bool
    ) -> Response:
        """Ask for a code; of a user who has no second factor yet, after showing what to enrol."""
        tenant, factors = self._realm.tenant, self._smart.factors
        secret = None
        if await factors.state(tenant, user.sub) != "on":
            secret = await factors.begun(tenant, user.sub) or await factors.begin(tenant, user.sub)
        step = f"{self._smart.clock() + _STEP_MS}:{user.name}"
        return self._smart.pages.answer(
            "code",
            403 if wrong else 200,
            action=self._realm.local("login/code"),
            form_token=self._smart.sessions.step_token(self._realm, request.headers, step),
            step=step,
            next=following,
            secret=totp.shown(secret) if secret else "",
            address=totp.address(secret, user.name, "Hounsfield") if secret else "",
            wrong=wrong,
        )

    async def _stepping(self, request: Request, step: str, token: str) -> User | None:
        """Give the user whose password was right in this browser a few minutes ago."""
        if not self._smart.sessions.is_step_token(self._realm, request.headers, step, token):
            return None
        until, _, name = step.partition(":")
        if not until.isdigit() or int(until) <= self._smart.clock():
            return None
        return await self._smart.users.get(self._realm.tenant, name)

    def _slow_down(self) -> Response:
        text = "There were too many failed logins from your address. Try again in a few minutes."
        response = self._smart.pages.message("Not now", text, 429)
        response.headers["Retry-After"] = "300"
        return response


def local(path: str) -> str:
    """Give the path if it stays on this server, else nothing (RFC 9700 §4.11: no open redirector)."""
    starts_here = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if starts_here and path.isascii() and path.isprintable() else ""
