"""Rules that look beyond a resource: its references, those to it, and the profiles that it claims.

They look at the store just before the commit, so a racing writer may still leave a reference dangling:
the rules keep order, they are no lock.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from fhir_server.context import Context
from fhir_server.interactions import profiles, reach
from fhir_server.search.expression import Branch, Or, Plan, Reference
from fhir_server.search.grants import WITHOUT_PATIENT_DATA
from fhir_server.store.port import Change, Key
from resources.outcome import Conflict, Unprocessable

NOWHERE: Final[Mapping[Key, str]] = MappingProxyType({})
_TELLS_ONLY = frozenset({"AuditEvent"})
"""That a resource was looked at is no reason to keep it."""


async def refuse(
    context: Context, changes: Sequence[Change], places: Mapping[Key, str] = NOWHERE
) -> None:
    """Raise Unprocessable or Conflict where the settings refuse what the changes would leave.

    `places` says where each was asked for, for the error to name it.
    """
    await profiles.refuse(context, changes, places)
    for change in changes:
        await reach.refuse_borrowed(context, change)
    policy = context.services.policy
    if policy.refuse_unresolved:
        await _unresolved(context, changes, places)
    if policy.refuse_dangling:
        await _dangling(context, changes, places)


async def _unresolved(
    context: Context, changes: Sequence[Change], places: Mapping[Key, str]
) -> None:
    """Refuse references to resources here that neither exist nor are written along."""
    written = {change.key for change in changes if change.body is not None}
    deleted = {change.key for change in changes if change.body is None}
    wanted = _referred(context, changes)
    missing = wanted.keys() - written
    found = await _found(context, missing - deleted)
    for key in missing - found:
        by = wanted[key]
        raise Unprocessable(
            f"A reference of {by.type} leads to a {key.type} that does not exist here",
            issue="not-found",
            expression=places.get(by, by.type),
        )


def _referred(context: Context, changes: Sequence[Change]) -> dict[Key, Key]:
    """Give what the changes refer to here, each with one that refers to it."""
    return {
        Key(context.tenant, value.type, value.id): change.key
        for change in changes
        for value in change.values.references
        if value.type
    }


async def _found(context: Context, keys: AbstractSet[Key]) -> set[Key]:
    """Give those that exist as far as the caller may know: all of types that hold no patient's data."""
    by_type: dict[str, list[str]] = {}
    for key in keys:
        by_type.setdefault(key.type, []).append(key.id)
    found: set[Key] = set()
    for type_, ids in by_type.items():
        if type_ in WITHOUT_PATIENT_DATA:
            wanted = [Key(context.tenant, type_, id_) for id_ in ids]
            versions = await context.services.store.read_many(wanted)
        else:
            versions = await reach.by_id(context, type_, tuple(ids))
        found.update(version.key for version in versions)
    return found


async def _dangling(context: Context, changes: Sequence[Change], places: Mapping[Key, str]) -> None:
    """Refuse to delete what others refer to, unless they are deleted or written anew along."""
    deleted = [change.key for change in changes if change.body is None]
    if not deleted:
        return
    along = {change.key for change in changes}
    wanted = _referred(context, changes)
    for key in deleted:
        by = wanted.get(key) or await _referring(context, key, along)
        if by is not None:
            raise Conflict(
                f"A resource of type {by.type} refers to it, so it is not deleted",
                expression=places.get(key),
            )


async def _referring(context: Context, key: Key, along: set[Key]) -> Key | None:
    """Give one that refers to a resource and is none of those along."""
    parameters = context.services.planner.parameters
    branches = []
    for type_ in sorted(context.services.definitions.resource_types - _TELLS_ONLY):
        atoms = {
            atom.name
            for parameter in parameters.of(type_).values()
            if parameter.type == "reference"
            and (not parameter.targets or key.type in parameter.targets)
            for atom in parameter.atoms
        }
        if atoms:
            nodes = tuple(Reference(atom, key.type, key.id) for atom in sorted(atoms))
            branches.append(Branch(type_, Or(nodes)))
    plan = Plan(context.tenant, tuple(branches), limit=len(along) + 1)
    for match in await context.services.store.search(plan):
        if match.version.key not in along:
            return match.version.key
    return None
