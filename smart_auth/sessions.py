"""Login sessions of people in browsers, in a cookie that scripts and other sites cannot use."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping

from msgspec import Struct

from fhir_server.access import Access
from fhir_server.store.port import Documents
from smart_auth import scopes
from smart_auth.realm import Realm
from smart_auth.records import Records, digest, new_token, now
from smart_auth.users import User, Users

SESSION_MS = 12 * 3_600 * 1_000
_LONGEST_COOKIE = 8_192


class Session(Struct, frozen=True):
    """Who is logged in since when; `key` is the place of the record, not the cookie's value."""

    key: str
    user: str
    sub: str
    fhir_user: str
    since: int
    expires: int
    methods: tuple[str, ...] = ("pwd",)
    """How the person logged in (RFC 8176)."""


class Sessions:
    """Starts, finds and ends sessions; `secret` signs the tokens in our own forms."""

    def __init__(
        self,
        documents: Documents,
        users: Users,
        secret: bytes,
        clock: Callable[[], int] = now,
    ) -> None:
        self._records = Records(documents, "smart.sessions", Session)
        self._users = users
        self._secret = secret
        self._clock = clock

    async def start(self, realm: Realm, user: User, methods: tuple[str, ...] = ("pwd",)) -> str:
        """Begin a session; gives the Set-Cookie header."""
        value = new_token()
        begun = self._clock()
        until = begun + SESSION_MS
        session = Session(digest(value), user.name, user.sub, user.fhir_user, begun, until, methods)
        await self._records.put(realm.tenant, session.key, session, expires=session.expires)
        return _set_cookie(realm, _name(realm), value, "Lax", SESSION_MS // 1_000)

    async def find(self, realm: Realm, headers: Mapping[str, str]) -> Session | None:
        """Give the session of a request, by lower-case header names; None without a live one."""
        value = cookie(headers, _name(realm))
        return await self.get(realm.tenant, digest(value)) if value else None

    async def get(self, tenant: str, key: str) -> Session | None:
        """Give the session at a place, while it lasts and its user exists."""
        found = await self._records.get(tenant, key)
        if found is None or found.value.expires <= self._clock():
            return None
        user = await self._users.get(tenant, found.value.user)
        return found.value if user is not None and user.sub == found.value.sub else None

    async def end(self, realm: Realm, session: Session) -> str:
        """End a session; gives the Set-Cookie header that removes its cookie."""
        await self._records.delete(realm.tenant, session.key)
        return _set_cookie(realm, _name(realm), "", "Lax", 0)

    def form_token(self, session: Session, purpose: str) -> str:
        """Give the token that a form of this session and purpose must carry, against forged requests."""
        return self._mac(f"{session.key}\n{purpose}")

    def is_form_token(self, session: Session, purpose: str, token: str) -> bool:
        """Tell whether a form's token belongs to this session and purpose."""
        return hmac.compare_digest(
            self.form_token(session, purpose).encode(), token.encode("utf-8", "replace")
        )

    def login_token(self, realm: Realm) -> tuple[str, str]:
        """Give a token for the login form and the Set-Cookie header that binds it to the browser."""
        seed = secrets.token_urlsafe(16)
        cookie = _set_cookie(realm, _name(realm, "login"), seed, "Strict", 3_600)
        return self._mac(f"login\n{seed}"), cookie

    def is_login_token(self, realm: Realm, headers: Mapping[str, str], token: str) -> bool:
        """Tell whether a login form came from the browser that was given it."""
        seed = cookie(headers, _name(realm, "login"))
        wanted = self._mac(f"login\n{seed}").encode()
        return seed is not None and hmac.compare_digest(wanted, token.encode("utf-8", "replace"))

    def step_token(self, realm: Realm, headers: Mapping[str, str], text: str) -> str:
        """Give the token of a further step of a login, bound to the browser that began it."""
        seed = cookie(headers, _name(realm, "login"))
        return self._mac(f"step\n{seed}\n{text}")

    def is_step_token(
        self, realm: Realm, headers: Mapping[str, str], text: str, token: str
    ) -> bool:
        """Tell whether a form is a further step of a login that this browser began."""
        wanted = self.step_token(realm, headers, text).encode()
        begun = cookie(headers, _name(realm, "login")) is not None
        return begun and hmac.compare_digest(wanted, token.encode("utf-8", "replace"))

    def outgoing_cookie(self, realm: Realm, value: str) -> str:
        """Give the Set-Cookie header that binds a login at an external provider to this browser."""
        return _set_cookie(realm, _name(realm, "external"), value, "Lax", 600)

    def outgoing(self, realm: Realm, headers: Mapping[str, str]) -> str | None:
        """Give what a browser that was sent to an external provider holds."""
        return cookie(headers, _name(realm, "external"))

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def session_access(session: Session) -> Access:
    """Give what a person may see on our own pages: as much as user/*.rs, a Patient her own record."""
    own = scopes.parse("user/*.rs")
    kind, _, id_ = session.fhir_user.partition("/")
    patient = id_ if kind == "Patient" else None
    return Access(
        session.sub,
        scopes.grants(own, patient, session.fhir_user),
        fhir_user=session.fhir_user,
        patient=patient,
        scopes=tuple(own.text.split()),
    )


def _name(realm: Realm, purpose: str = "session") -> str:
    """Give a cookie's name; over https browsers then refuse it from any other host or path."""
    prefix = "__Host-" if realm.secure else ""
    return f"{prefix}hounsfield-{purpose}-{realm.tenant}"


def _set_cookie(realm: Realm, name: str, value: str, same_site: str, seconds: int) -> str:
    secure = "; Secure" if realm.secure else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}"


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Give the value of a cookie, by lower-case header names; None without one."""
    text = headers.get("cookie", "")
    if name not in text or len(text) > _LONGEST_COOKIE:
        return None
    for pair in text.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return None
