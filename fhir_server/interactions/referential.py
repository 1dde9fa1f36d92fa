"""Rules that look beyond a resource: its references, those to it, and the profiles that it claims.

They look at the store just before the commit, so a racing writer may still leave a reference dangling:
the rules keep order, they are no lock.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from fhir_server.context import Context
from fhir_server.interactions import profiles, reach
from fhir_server.search.expression import Branch, Or, Plan, Reference
from fhir_server.search.grants import WITHOUT_PATIENT_DATA
from fhir_server.store.port import Change, Key
from resources.outcome import Conflict, Unprocessable

_TELLS_ONLY = frozenset({"AuditEvent"})
"""That a resource was looked at is no reason to keep it."""


async def refuse(context: Context, changes: Sequence[Change]) -> None:
    """Raise Unprocessable or Conflict where the settings refuse what the changes would leave."""
    await profiles.refuse(context, changes)
    for change in changes:
        await reach.refuse_borrowed(context, change)
    policy = context.services.policy
    if policy.refuse_unresolved:
        await _unresolved(context, changes)
    if policy.refuse_dangling:
        for change in changes:
            if change.body is None:
                await _dangling(context, change.key, {c.key for c in changes})


async def _unresolved(context: Context, changes: Sequence[Change]) -> None:
    """Refuse references to resources here that neither exist nor are written along."""
    written = {change.key for change in changes if change.body is not None}
    wanted = {
        Key(context.tenant, value.type, value.id): change
        for change in changes
        for value in change.values.references
        if value.type
    }
    missing = wanted.keys() - written
    found = await _found(context, missing)
    for key in missing - found:
        raise Unprocessable(
            f"A reference of {wanted[key].key.type} leads to a {key.type} that does not exist here",
            issue="not-found",
            expression=wanted[key].key.type,
        )


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


async def _dangling(context: Context, key: Key, along: set[Key]) -> None:
    """Refuse to delete what others refer to, unless they are written or deleted along."""
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
            raise Conflict(f"A {match.version.key.type} refers to it, so it is not deleted")
