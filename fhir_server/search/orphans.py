"""What nothing refers to: the special parameter _orphan, and references that no search parameter covers.

A resource is an orphan if no current resource, itself included, has a literal reference to it, wherever in
it that stands. AuditEvents do not count, and for a caller with limits only what they may see does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable
from typing import Final

from fhir_server.search.expression import NEVER, And, Expression, LinkedFrom, Not, Or, both, either
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.values import ELSEWHERE
from resources.outcome import Invalid

PARAMETER: Final = "_orphan"
_TRAIL: Final = frozenset({"AuditEvent"})
"""Types that tell of what happened to a resource: who looked at it does not need it."""

Referrers = Callable[[str], tuple[tuple[str, str], ...]]
"""Gives, for a type, the types that may refer to it, each with an atom of such references."""


def referrers(parameters: SearchParameters, types: Iterable[str]) -> Referrers:
    """Give what tells who may refer to a type, each type's answer worked out once."""
    every = tuple(sorted(frozenset(types) - _TRAIL))

    @functools.cache
    def found(target: str) -> tuple[tuple[str, str], ...]:
        """Give each type and atom by which resources may refer to the type."""
        pairs = []
        for type_ in every:
            atoms = {
                atom.name
                for parameter in parameters.of(type_).values()
                if parameter.type == "reference"
                and (not parameter.targets or target in parameter.targets)
                for atom in parameter.atoms
            }
            pairs += [(type_, atom) for atom in (*sorted(atoms), f"{type_}.{ELSEWHERE}")]
        return tuple(pairs)

    return found


def lower(
    values: tuple[str, ...],
    pairs: Iterable[tuple[str, str]],
    allowed: Callable[[str], Expression],
) -> Expression:
    """Give the meaning of _orphan; `allowed` is the access to a type. Raises Invalid for no boolean."""
    if len(values) != 1 or values[0] not in {"true", "false"}:
        raise Invalid("_orphan takes true or false", issue="value")
    within = functools.cache(allowed)
    referred = Or(
        tuple(
            LinkedFrom(type_, atom, within(type_))
            for type_, atom in pairs
            if within(type_) != NEVER
        )
    )
    return Not(referred) if values[0] == "true" else referred


def among(where: Expression, types: Container[str]) -> Expression:
    """Give what an expression means where there are only these types: no other refers to anything."""
    match where:
        case LinkedFrom() if where.type not in types:
            return NEVER
        case And():
            return both(among(part, types) for part in where.parts)
        case Or():
            return either(among(part, types) for part in where.parts)
        case Not():
            return Not(among(where.part, types))
        case _:
            return where
