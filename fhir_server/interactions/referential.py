"""Referential rules, both settings: unresolved references refused, deletes of the referenced refused.

They look at the store just before the commit, so a racing writer may still leave a reference dangling:
the rules keep order, they are no lock.
"""

from collections.abc import Sequence

from fhir_server.context import Context
from fhir_server.search.expression import Branch, Or, Plan, Reference
from fhir_server.store.port import Change, Key
from resources.outcome import Conflict, Unprocessable


async def refuse(context: Context, changes: Sequence[Change]) -> None:
    """Raise Unprocessable or Conflict where the settings refuse what the changes would leave."""
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
    found = {version.key for version in await context.services.store.read_many(tuple(missing))}
    for key in missing - found:
        raise Unprocessable(
            f"A reference of {wanted[key].key.type} leads to a {key.type} that does not exist here",
            issue="not-found",
            expression=wanted[key].key.type,
        )


async def _dangling(context: Context, key: Key, along: set[Key]) -> None:
    """Refuse to delete what others refer to, unless they are written or deleted along."""
    parameters = context.services.planner.parameters
    branches = []
    for type_ in sorted(context.services.definitions.resource_types):
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
