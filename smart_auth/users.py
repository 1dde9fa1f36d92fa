"""Who can log in: a name, a FHIR identity, a role and a password or a provider; kept outside FHIR."""

import hashlib
import re
import uuid
from collections.abc import Callable

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.attempts import Attempts
from smart_auth.passwords import LONGEST, Passwords
from smart_auth.records import Records, now
from smart_auth.revocation import Revocations

SHORTEST = 8
_NAME = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,126}[^\s\x00-\x1f\x7f])?")
FHIR_USER = re.compile(
    r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}"
)
"""A relative reference to someone who may log in."""


class User(Struct, frozen=True):
    """A person with an account; `sub` is never given to a second one, even under the same name."""

    name: str
    sub: str
    fhir_user: str
    role: str
    password_hash: str
    created: int
    second_factor: bool = False
    """Whether a login without a second factor is not enough."""
    issuer: str = ""
    """The external provider that the person logs in at; there is no password then."""


class Subject(Struct, frozen=True):
    """The role of a person, by the `sub` of the tokens."""

    role: str


class UserExists(Exception):
    """The name is taken."""


class Users:
    """The accounts of an installation, by tenant and name."""

    def __init__(
        self, documents: Documents, passwords: Passwords, clock: Callable[[], int] = now
    ) -> None:
        self._users = Records(documents, "smart.users", User)
        self._roles = Records(documents, "smart.subjects", Subject)
        self._tries = Attempts(documents, "smart.tries", clock)
        self._passwords = passwords
        self._clock = clock

    async def get(self, tenant: str, name: str) -> User | None:
        """Give the account of that name, or None."""
        found = await self._users.get(tenant, _normal(name))
        return found.value if found else None

    async def authenticate(self, tenant: str, name: str, password: str) -> User | None:
        """Give the account if the password is right and the account is not locked.

        Each try is counted before the password is looked at, so parallel guesses get no more than five.
        """
        user = await self.get(tenant, name) if _NAME.fullmatch(name.strip()) else None
        allowed = user is not None and await self._tries.count(tenant, user.name)
        stored = user.password_hash if user is not None and allowed else None
        if not await self._passwords.verify(stored, password) or user is None:
            return None
        await self._tries.forget(tenant, user.name)
        return user

    async def arrived(
        self, tenant: str, issuer: str, subject: str, fhir_user: str, role: str
    ) -> User:
        """Give the account of a person whom an external provider vouches for, made at the first login."""
        hashed = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:32]
        name = _normal(f"{issuer}:{hashed}")
        while True:
            found = await self._users.get(tenant, name)
            sub = found.value.sub if found else uuid.uuid4().hex
            created = found.value.created if found else self._clock()
            user = User(name, sub, fhir_user, role, "", created, issuer=issuer)
            revision = found.revision if found else 0
            unchanged = found is not None and found.value == user
            if unchanged or await self._users.put(tenant, name, user, revision=revision):
                await self._roles.put(tenant, sub, Subject(role))
                return user


async def add_user(
    documents: Documents,
    tenant: str,
    name: str,
    fhir_user: str,
    password: str,
    role: str = "",
) -> User:
    """Register an account; raises UserExists, or ValueError with a sentence on what is wrong."""
    name = _normal(name)
    _check(name, fhir_user, password)
    hashed = await Passwords().hash(password)
    user = User(name, uuid.uuid4().hex, fhir_user, role, hashed, now())
    users = Records(documents, "smart.users", User)
    if not await users.put(tenant, name, user, revision=0):
        raise UserExists(f"There is already a user {name}")
    await Records(documents, "smart.subjects", Subject).put(tenant, user.sub, Subject(role))
    return user


async def demand_second_factor(documents: Documents, tenant: str, name: str) -> User | None:
    """Let an account log in with a second factor only, from now on; None where there is no such account."""
    users = Records(documents, "smart.users", User)
    while found := await users.get(tenant, _normal(name)):
        user = msgspec.structs.replace(found.value, second_factor=True)
        if await users.put(tenant, user.name, user, revision=found.revision):
            return user
    return None


async def list_users(documents: Documents, tenant: str) -> tuple[User, ...]:
    """Give the accounts by name."""
    return await Records(documents, "smart.users", User).all(tenant)


async def remove_user(documents: Documents, tenant: str, name: str) -> bool:
    """Remove an account and end its sessions and tokens; tells whether there was one."""
    users = Records(documents, "smart.users", User)
    found = await users.get(tenant, _normal(name))
    if found is None:
        return False
    await Revocations(documents).revoke(tenant, f"user:{found.value.sub}")
    return await users.delete(tenant, found.value.name)


def _check(name: str, fhir_user: str, password: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("A user's name is 1 to 128 characters without control characters")
    if not FHIR_USER.fullmatch(fhir_user):
        raise ValueError(
            "fhirUser is a relative reference such as Practitioner/ID; Practitioner,"
            " PractitionerRole, Patient, RelatedPerson and Person may log in"
        )
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"A password has {SHORTEST} to {LONGEST} characters")


def _normal(name: str) -> str:
    """Give the one spelling under which a name is kept: names differ by more than case."""
    return name.strip().casefold()
