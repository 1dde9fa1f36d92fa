"""The authorisation server of an installation, put together from its parts."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server import tenancy
from fhir_server.access import Access
from fhir_server.store.port import Documents
from smart_auth import metadata, scopes
from smart_auth.access_token import AccessTokens, new_claims
from smart_auth.authorizer import SmartAuthorizer
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.client_keys import ClientKeys, Fetch, fetch
from smart_auth.grant import Grants
from smart_auth.introspect import Introspection
from smart_auth.keys import KeyRing
from smart_auth.launch import PatientChoice, Patients
from smart_auth.pages import Pages
from smart_auth.passwords import Passwords
from smart_auth.realm import Realm, realm
from smart_auth.records import now
from smart_auth.revocation import Revocations
from smart_auth.sessions import Sessions, session_access
from smart_auth.token import Tokens
from smart_auth.users import Users

OPERATOR = "hounsfield-operator"
Tenants = Callable[[str], Awaitable[bool]]
_LONGEST_TTL_S = 365 * 24 * 3_600
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{0,63}/[A-Za-z0-9\-.]{1,64}")


async def _any_tenant(name: str) -> bool:
    return tenancy.well_formed(name)


class NoPatients:
    """Finds nobody: for an installation whose composition root gives no search."""

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        """Give no choice."""
        del tenant, access, text
        return ()

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        """Give nobody."""
        del tenant, access, id_
        return None


@dataclass(frozen=True, slots=True)
class Ports:
    """What the server needs of its surroundings; the composition root gives the first two.

    `has_tenant` tells whether a tenant is registered; without it every well-formed name is one.
    """

    patients: Patients = field(default_factory=NoPatients)
    has_tenant: Tenants = _any_tenant
    fetch_keys: Fetch = fetch
    clock: Callable[[], int] = now


class Smart:
    """Everything that the routes and the composition root need of SMART.

    `public_url` is the absolute address under which browsers reach us.
    """

    def __init__(
        self, documents: Documents, keys: KeyRing, public_url: str, ports: Ports | None = None
    ) -> None:
        ports = ports or Ports()
        clock = ports.clock
        passwords = Passwords()
        self.documents = documents
        self.keys = keys
        self.public_url = public_url.rstrip("/")
        self.patients = ports.patients
        self.has_tenant = ports.has_tenant
        self.clock = clock
        self.pages = Pages()
        self.users = Users(documents, passwords, clock)
        self.sessions = Sessions(documents, self.users, keys.secret("forms"), clock)
        self.revocations = Revocations(documents, clock)
        self.grants = Grants(documents, self.revocations, clock)
        self.authorizer = SmartAuthorizer(
            AccessTokens(keys, clock), self.revocations, self.public_url, clock
        )
        clients = ClientAuthentication(
            documents, passwords, ClientKeys(ports.fetch_keys, clock), clock
        )
        self.tokens = Tokens(clients, self.grants, self.sessions, keys, clock)
        self.introspection = Introspection(clients, self.authorizer, self.grants, self.revocations)

    def realm(self, tenant: str = tenancy.DEFAULT) -> Realm:
        """Give a tenant's addresses; raises ValueError for an impossible name."""
        return realm(self.public_url, tenant)

    async def session(self, tenant: str, headers: Mapping[str, str]) -> Access | None:
        """Give what the person who is logged in may see on our own pages, None without a login."""
        found = await self.sessions.find(self.realm(tenant), headers)
        return session_access(found) if found else None

    def smart_configuration(self, tenant: str = tenancy.DEFAULT) -> dict[str, Any]:
        """Give the document at [base]/.well-known/smart-configuration of a tenant."""
        return metadata.smart_configuration(self.realm(tenant))


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """What an operator asks `hounsfield token` for; `ttl` in seconds, `context` relative references."""

    scope: str
    patient: str | None = None
    fhir_user: str | None = None
    context: tuple[str, ...] = ()
    tenant: str = tenancy.DEFAULT
    ttl: int = 3_600


def mint(keys: KeyRing, asked: OperatorToken, clock: Callable[[], int] = now) -> str:
    """Give an access token signed by this installation, whatever its public URL; raises ValueError.

    The sentence of the ValueError says what is missing for the scopes to mean anything.
    """
    parsed = _mintable(asked)
    claims = new_claims(
        realm("", asked.tenant),
        clock(),
        asked.ttl,
        operator=True,
        sub=OPERATOR,
        client_id=OPERATOR,
        scope=parsed.text,
        patient=asked.patient,
        fhir_user=asked.fhir_user,
        context=asked.context,
    )
    return AccessTokens(keys, clock).sign(claims)


def _mintable(asked: OperatorToken) -> scopes.Scopes:
    parsed = scopes.parse(asked.scope)
    for reference in (*asked.context, *filter(None, [asked.fhir_user])):
        if not _REFERENCE.fullmatch(reference):
            raise ValueError(
                "fhir-user and context are relative references such as Practitioner/ID"
            )
    if asked.patient is not None and not _ID.fullmatch(asked.patient):
        raise ValueError("patient is a logical id, without Patient/ before it")
    if not 0 < asked.ttl <= _LONGEST_TTL_S:
        raise ValueError("ttl is 1 second to 365 days")
    if not parsed.clinical:
        raise ValueError("The scope names no resources, e.g. system/*.rs")
    if len(scopes.grants(parsed, asked.patient, asked.fhir_user)) < len(parsed.clinical):
        raise ValueError(
            "patient/ scopes need a patient, user/ scopes a fhir-user that is a Practitioner,"
            " PractitionerRole or Patient"
        )
    return parsed
