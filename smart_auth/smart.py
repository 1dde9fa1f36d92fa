"""The authorisation server of an installation, put together from its parts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server import tenancy
from fhir_server.access import Access
from fhir_server.store.port import Documents
from smart_auth import metadata, outbound, provider
from smart_auth.access_token import AccessTokens
from smart_auth.attempts import Failures
from smart_auth.authorizer import SmartAuthorizer
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.client_keys import ClientKeys, Fetch
from smart_auth.external import External, Identities, NoIdentities
from smart_auth.grant import Grants
from smart_auth.introspect import Introspection
from smart_auth.issuers import Issuer
from smart_auth.keys import KeyRing
from smart_auth.launch import NoPatients, Patients
from smart_auth.launches import Launches, Launching
from smart_auth.pages import Pages
from smart_auth.passwords import Passwords
from smart_auth.policy import Policy
from smart_auth.realm import Realm, realm
from smart_auth.records import now
from smart_auth.registration import DynamicRegistration
from smart_auth.revocation import Revocations
from smart_auth.seal import Seal
from smart_auth.second_factor import SecondFactors
from smart_auth.sessions import Sessions, session_access
from smart_auth.token import Tokens
from smart_auth.users import Users

Tenants = Callable[[str], Awaitable[bool]]
_MOST_FAILURES = 100
_FAILURES_MS = 300_000


async def _any_tenant(name: str) -> bool:
    return tenancy.well_formed(name)


@dataclass(frozen=True, slots=True)
class Ports:
    """What the server needs of its surroundings; the composition root gives what it can.

    `has_tenant` tells whether a tenant is registered; without it every well-formed name is one.
    `fetch_keys` fetches the key sets of clients that an operator registered, `fetch_public_keys` those of
    clients that registered themselves. `issuers` outside are asked by `http`.
    """

    patients: Patients = field(default_factory=NoPatients)
    has_tenant: Tenants = _any_tenant
    fetch_keys: Fetch = outbound.fetch
    clock: Callable[[], int] = now
    identities: Identities = field(default_factory=NoIdentities)
    fetch_public_keys: Fetch = outbound.fetch_public
    issuers: Sequence[Issuer] = ()
    http: provider.Http = provider.http
    policy: Policy = field(default_factory=Policy)


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
        self.policy = ports.policy
        self.pages = Pages()
        self.users = Users(documents, passwords, clock)
        self.sessions = Sessions(documents, self.users, keys.secret("forms"), clock)
        self.revocations = Revocations(documents, clock)
        self.grants = Grants(documents, self.revocations, clock)
        self.factors = SecondFactors(documents, Seal(keys.secret("seal")), clock)
        self.failures = Failures(_MOST_FAILURES, _FAILURES_MS, clock)
        self.external = External(ports.issuers, ports.identities, ports.http, clock)
        self.authorizer = SmartAuthorizer(
            AccessTokens(keys, clock),
            self.revocations,
            self.public_url,
            clock,
            external=self.external,
        )
        clients = ClientAuthentication(
            documents,
            passwords,
            ClientKeys(ports.fetch_keys, clock),
            clock,
            public_keys=ClientKeys(ports.fetch_public_keys, clock),
        )
        self.tokens = Tokens(clients, self.grants, self.sessions, keys, clock)
        self.launches = Launches(documents, clock)
        self.launching = Launching(documents, clients, self.launches)
        self.registration = DynamicRegistration(documents, self.policy, clock)
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
        return metadata.smart_configuration(self.realm(tenant), self.policy)
