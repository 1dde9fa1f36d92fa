"""What an interaction works with: who asks, in which tenant, under which base, on which services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from fhir_server.access import Access, Letter, everything
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.paging import Paging
from fhir_server.search.plan import Planner
from fhir_server.store.port import Documents, Key, Store
from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Forbidden, Issue


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


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that change what interactions do."""

    lenient: bool = False
    refuse_unresolved: bool = False
    refuse_dangling: bool = False
    delete_several: bool = False
    page_size: int = 50
    page_limit: int = 1000
    max_entries: int = 10_000


Handler = Callable[["Context", "FhirRequest"], Awaitable["FhirResponse"]]


@dataclass(frozen=True, slots=True)
class Route:
    """An operation as dispatch sees it: its place, whether GET may call it, and what answers."""

    code: str
    levels: frozenset[str]
    types: frozenset[str]
    affects_state: bool
    answer: Handler


@dataclass(frozen=True, slots=True)
class Services:
    """What the composition root built, shared by every request."""

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
    wake: Callable[[], None] = lambda: None
    purge: Callable[[Key], Awaitable[int]] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """One caller's view: tenant, access, the base URL of the tenant's FHIR API, services, request id.

    With `keep_unchanged` an update equal to the current version writes nothing: our own edges resend.
    """

    tenant: str
    access: Access
    base: str
    services: Services
    request_id: str = ""
    keep_unchanged: bool = False

    def require(self, type_: str, letter: Letter) -> None:
        """Refuse unless some grant speaks of the type and interaction; raises Forbidden."""
        if not self.access.grants_for(type_, letter):
            raise Forbidden(f"The token's scopes do not cover this interaction on {type_}")

    def as_ours(self) -> Context:
        """Give this context with our own access, for what follows from an act that was permitted."""
        return replace(self, access=everything(self.access.subject))
