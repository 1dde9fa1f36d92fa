"""What a caller may do: grants, and the port that turns credentials into them (SMART scopes)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

Letter = Literal["c", "r", "u", "d", "s"]
Clearance = Literal["N", "R", "V"]
"""How confidential what one sees may be (v3 Confidentiality): normal, restricted, very restricted."""
_CLEARANCES: tuple[Clearance, ...] = ("N", "R", "V")
_DECISIONS = 1_024
"""More types and interactions than R4 has; what is asked beyond them is decided each time."""
LETTERS: tuple[Letter, ...] = ("c", "r", "u", "d", "s")


@dataclass(frozen=True, slots=True)
class Grant:
    """Interactions on a resource type, limited to a patient's compartment and by search criteria.

    `type` "*" is every type. `patient` None is no compartment limit, else the Patient's logical id.
    `query` holds search parameters that a resource must also satisfy (granular scopes). `apart` are types
    that "*" does not stand for: they must be named. `whose` holds search parameters of Patient: only what is
    in the compartment of a patient who satisfies them, or of none, is meant (attribute rules of roles).
    """

    type: str
    letters: frozenset[Letter]
    patient: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    apart: frozenset[str] = frozenset()
    whose: tuple[tuple[str, str], ...] = ()

    def covers(self, type_: str, letter: Letter) -> bool:
        """Tell whether the grant speaks of this type and interaction."""
        if letter not in self.letters:
            return False
        return self.type == type_ or (self.type == "*" and type_ not in self.apart)

    @property
    def limited(self) -> bool:
        """Tell whether it means fewer than all resources of its type."""
        return self.patient is not None or bool(self.query or self.whose)


@dataclass(frozen=True, slots=True)
class Withheld:
    """What a patient's Consent keeps from a caller: of these types, or any; with these labels, or any.

    `labels` are system|code. `unless` are permitted exceptions, of the same form.
    """

    patient: str
    types: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()
    unless: tuple["Withheld", ...] = ()

    def speaks_of(self, type_: str) -> bool:
        """Tell whether it may keep back resources of a type."""
        return not self.types or type_ in self.types


@dataclass(frozen=True)
class Access:
    """Who asks and what they may do; without grants nothing is allowed (fails closed).

    What is allowed must be allowed by a grant and, where the caller has a role, by one of `within` too; it
    must not be labelled more confidential than `clearance`, nor be `withheld` by a Consent. `purpose` is the
    reason given for breaking the glass, empty for ordinary access.
    """

    subject: str
    grants: tuple[Grant, ...] = ()
    client: str = ""
    fhir_user: str | None = None
    patient: str | None = None
    scopes: tuple[str, ...] = ()
    context: tuple[str, ...] = field(default=())
    purpose: str = ""
    within: tuple[Grant, ...] | None = None
    clearance: Clearance = "V"
    withheld: tuple[Withheld, ...] = ()

    def grants_for(self, type_: str, letter: Letter) -> tuple[Grant, ...]:
        """Give the grants that speak of a type and interaction; none means refused."""
        return self._decision(type_, letter)[0]

    def limits_for(self, type_: str, letter: Letter) -> tuple[Grant, ...] | None:
        """Give the role's grants that speak of a type and interaction; None: there is no such limit."""
        if self.within is None:
            return None
        covering = tuple(grant for grant in self.within if grant.covers(type_, letter))
        return covering if all(grant.limited for grant in covering) else None

    def granted(self, type_: str, letter: Letter) -> bool:
        """Tell whether this is allowed for all of a type but what labels and Consents withhold."""
        return self._decision(type_, letter)[1]

    def withholds(self, type_: str) -> bool:
        """Tell whether labels or Consents may keep resources of a type from the caller."""
        return self.clearance != "V" or any(one.speaks_of(type_) for one in self.withheld)

    def unlimited(self, type_: str, letter: Letter) -> bool:
        """Tell whether this is allowed for all resources of a type, whatever they say of themselves."""
        return self.granted(type_, letter) and not self.withholds(type_)

    @cached_property
    def _decisions(self) -> dict[tuple[str, Letter], tuple[tuple[Grant, ...], bool]]:
        """What was decided by type and interaction: as the grants never change, once is enough."""
        return {}

    def _decision(self, type_: str, letter: Letter) -> tuple[tuple[Grant, ...], bool]:
        """Give the grants that speak of a type and interaction, and whether they allow all of it."""
        known = self._decisions.get((type_, letter))
        if known is None:
            known = self._decided(type_, letter)
            if len(self._decisions) < _DECISIONS:
                self._decisions[type_, letter] = known
        return known

    def _decided(self, type_: str, letter: Letter) -> tuple[tuple[Grant, ...], bool]:
        if self.within is not None and not any(g.covers(type_, letter) for g in self.within):
            return (), False
        grants = tuple(grant for grant in self.grants if grant.covers(type_, letter))
        unlimited = any(not grant.limited for grant in grants)
        return grants, unlimited and self.limits_for(type_, letter) is None


def covers(held: Access, asked: Access) -> bool:
    """Tell whether everything that `asked` may see lies within what `held` may see."""
    return (
        all(any(_holds(outer, inner) for outer in held.grants) for inner in asked.grants)
        and held.within in {None, asked.within}
        and _CLEARANCES.index(held.clearance) >= _CLEARANCES.index(asked.clearance)
        and set(held.withheld) <= set(asked.withheld)
    )


def _holds(outer: Grant, inner: Grant) -> bool:
    return (
        (outer.type == inner.type or (outer.type == "*" and inner.type not in outer.apart))
        and (inner.type != "*" or inner.apart >= outer.apart)
        and inner.letters <= outer.letters
        and outer.patient in {None, inner.patient}
        and (not outer.query or outer.query == inner.query)
        and (not outer.whose or outer.whose == inner.whose)
    )


def everything(subject: str) -> Access:
    """Give full access, for our own edges (HL7 v2, bridge, workers, command line)."""
    return Access(subject, (Grant("*", frozenset(LETTERS)),))


class Authorizer(Protocol):
    """Turns a request's credentials into access."""

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give the caller's access, by lower-case header names; raises Unauthorised."""
