"""What a caller may do: grants, and the port that turns credentials into them (SMART scopes)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Letter = Literal["c", "r", "u", "d", "s"]
LETTERS: tuple[Letter, ...] = ("c", "r", "u", "d", "s")


@dataclass(frozen=True, slots=True)
class Grant:
    """Interactions on a resource type, limited to a patient's compartment and by search criteria.

    `type` "*" is every type. `patient` None is no compartment limit, else the Patient's logical id.
    `query` holds search parameters that a resource must also satisfy (granular scopes).
    """

    type: str
    letters: frozenset[Letter]
    patient: str | None = None
    query: tuple[tuple[str, str], ...] = ()

    def covers(self, type_: str, letter: Letter) -> bool:
        """Tell whether the grant speaks of this type and interaction."""
        return letter in self.letters and self.type in {"*", type_}


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks and what they may do; without grants nothing is allowed (fails closed)."""

    subject: str
    grants: tuple[Grant, ...] = ()
    client: str = ""
    fhir_user: str | None = None
    patient: str | None = None
    scopes: tuple[str, ...] = ()
    context: tuple[str, ...] = field(default=())

    def grants_for(self, type_: str, letter: Letter) -> tuple[Grant, ...]:
        """Give the grants that speak of a type and interaction; none means refused."""
        return tuple(grant for grant in self.grants if grant.covers(type_, letter))

    def unlimited(self, type_: str, letter: Letter) -> bool:
        """Tell whether some grant allows this without compartment or criteria."""
        return any(g.patient is None and not g.query for g in self.grants_for(type_, letter))


def everything(subject: str) -> Access:
    """Give full access, for our own edges (HL7 v2, bridge, workers, command line)."""
    return Access(subject, (Grant("*", frozenset(LETTERS)),))


class Authorizer(Protocol):
    """Turns a request's credentials into access."""

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give the caller's access, by lower-case header names; raises Unauthorised."""
