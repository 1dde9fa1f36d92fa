"""What an interaction works with: who asks, in which tenant, under which base, on which services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from conformance.profile.checked import ProfileChecks
from conformance.terminology.stored import Compiled
from fhir_server import tenancy
from fhir_server.access import Access, Letter, everything
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.paging import Paging
from fhir_server.search.plan import Planner
from fhir_server.store.port import Documents, Key, Store
from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Forbidden, Issue, MethodNotAllowed

UNALTERED = frozenset({"AuditEvent"})
"""Types whose resources nobody changes or deletes through the API, once they are stored."""


class Validator(Protocol):
    """Tells what is wrong with a resource; no error means that it may be written."""

    def check(self, resource: Resource) -> tuple[Issue, ...]:
        """Give the issues of a resource, none for a right one."""


class Clock(Protocol):
    """Gives now."""

    def __call__(self) -> int:
        """Give milliseconds since 1970 UTC."""


class Models(Protocol):
    """The imaging models that a study can be given to."""

    def chosen(self, study: Resource, model_id: str | None) -> str:
        """Give the id of the model to run: the one asked for, else the one that suits the study.

        Raises NotFound for an unknown id, Unprocessable where none suits or it is not installed.
        """


class Profiles(Protocol):
    """The profiles of tenants, and what claiming one does."""

    async def policy(self, context: Context) -> Literal["off", "report", "reject"]:
        """Give what claimed profiles do in the caller's tenant."""

    async def checks(self, context: Context, canonicals: Sequence[str]) -> ProfileChecks:
        """Give the checks with all that these profiles draw on, as far as it is here."""

    def told(self, context: Context, resource: Resource) -> tuple[Issue, ...]:
        """Give what is to be said of a resource that was just stored, none where profiles are off."""


class Auditor(Protocol):
    """Keeps what was accessed, before its answer leaves."""

    def ready(self) -> None:
        """Refuse to begin a write that could not be kept; raises Unavailable."""

    def interaction(self, caller: Context, request: FhirRequest, response: FhirResponse) -> None:
        """Tell of an interaction or operation; raises Unavailable where it cannot be kept."""

    async def synced(self) -> None:
        """Return once all that was told is on the disk; raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that change what interactions do."""

    lenient: bool = False
    refuse_unresolved: bool = False
    refuse_dangling: bool = False
    delete_several: bool = False
    page_size: int = 50
    page_limit: int = 1000
    include_limit: int = 10_000
    max_entries: int = 10_000


Handler = Callable[["Context", "FhirRequest"], Awaitable["FhirResponse"]]


@dataclass(frozen=True, slots=True)
class Route:
    """An operation as dispatch sees it: its place, whether GET may call it, and what answers.

    What `alters` the instance that it is called on is not there for types that are never altered.
    """

    code: str
    levels: frozenset[str]
    types: frozenset[str]
    affects_state: bool
    answer: Handler
    alters: bool = False

    def on(self, type_: str) -> bool:
        """Tell whether it is an operation of a type; without types it is one of all."""
        if self.alters and type_ in UNALTERED:
            return False
        return type_ in self.types or not self.types


class Services(Struct, frozen=True):
    """What the composition root built, shared by every request.

    `line` is where writers stand that others overtook several times.
    """

    store: Store
    documents: Documents
    definitions: Definitions
    planner: Planner
    validator: Validator
    paging: Paging
    clock: Clock
    new_id: Callable[[], str]
    policy: Policy = field(default_factory=Policy)
    operations: Mapping[str, tuple[Route, ...]] = field(default_factory=dict)
    defer: Handler | None = None
    capabilities: Callable[[str], bytes] = lambda _: b"{}"
    terminology: Callable[[str], bytes] = lambda _: b"{}"
    models: Models | None = None
    profiles: Profiles | None = None
    compiled: Compiled = field(default_factory=Compiled)
    wake: Callable[[], None] = lambda: None
    purge: Callable[[Key], Awaitable[int]] | None = None
    audit: Auditor | None = None
    line: asyncio.Lock = field(default_factory=asyncio.Lock)


class Context(Struct, frozen=True):
    """One caller's view: tenant, access, the base URL of the tenant's FHIR API, services, request id.

    With `keep_unchanged` an update equal to the current version writes nothing: our own edges resend.
    `address` is the client's, on the network.
    """

    tenant: str
    access: Access
    base: str
    services: Services
    request_id: str = ""
    keep_unchanged: bool = False
    address: str = ""

    @property
    def bases(self) -> tuple[str, ...]:
        """The base URLs by which the tenant's FHIR API is reached, `base` first."""
        return tenancy.bases(self.tenant, self.base)

    def below(self, url: str) -> str:
        """Give a URL without the base of this tenant that it begins with, any other as it is."""
        for base in self.bases:
            if url.startswith(f"{base}/"):
                return url[len(base) + 1 :]
        return url

    def require(self, type_: str, letter: Letter) -> None:
        """Refuse unless some grant speaks of the type and interaction; raises Forbidden."""
        if not self.access.grants_for(type_, letter):
            raise Forbidden(f"The token's scopes do not cover this interaction on {type_}")
        if letter == "d":
            self.refuse_to_alter(type_)

    def refuse_to_alter(self, type_: str) -> None:
        """Refuse to change or delete what is never altered, the audit trail; raises MethodNotAllowed."""
        if type_ in UNALTERED and not self.keep_unchanged:
            raise MethodNotAllowed(f"{type_} resources stay as they are", allow="GET, HEAD")

    def as_ours(self) -> Context:
        """Give this context with our own access, for what follows from an act that was permitted."""
        return replace(self, access=everything(self.access.subject))
