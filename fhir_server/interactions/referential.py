"""Rules that look beyond a resource: its references, those to it, and the profiles that it claims.

They look at the store just before the commit, so a racing writer may still leave a reference dangling:
the rules keep order, they are no lock.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from fhir_server.context import Context
from fhir_server.interactions import linking, profiles, reach
from fhir_server.search import expression
from fhir_server.search.expression import Branch, Or, Plan
from fhir_server.search.grants import WITHOUT_PATIENT_DATA
from fhir_server.store.port import Change, Key
from resources import reference
from resources.model import parse
from resources.outcome import Conflict, Unprocessable
from resources.reference import Reference

NOWHERE: Final[Mapping[Key, str]] = MappingProxyType({})
_VERSIONED = b"/_history/"
_DIGITS = 9
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
    if gone := missing - found:
        key = next(key for key in wanted if key in gone)
        change = next(change for change in changes if change.key == wanted[key])
        named = [
            at for at, one in _local(context, change) if f"{one.type}/{one.id}" == key.reference
        ]
        raise _leads_nowhere(change.key, key.type, places, named[0] if named else "")
    for change in changes:
        if change.body is not None and _VERSIONED in change.body.tail:
            await _refuse_versions(context, change, places, written)


async def _refuse_versions(
    context: Context, change: Change, places: Mapping[Key, str], written: AbstractSet[Key]
) -> None:
    """Refuse references to versions that are not there."""
    for where, named in _local(context, change):
        if named.version and not await _is_version(context, named, written):
            raise _leads_nowhere(change.key, named.type, places, where)


def _leads_nowhere(by: Key, type_: str, places: Mapping[Key, str], where: str) -> Unprocessable:
    """Give the refusal of a reference by one resource to a type, with where it stands in it, if known."""
    place = f"{places[by]}.resource" if by in places else by.type
    return Unprocessable(
        f"A reference of {by.type} leads to a {type_} that does not exist here",
        issue="not-found",
        expression=f"{place}.{where}" if where else places.get(by, by.type),
    )


def _local(context: Context, change: Change) -> Iterator[tuple[str, Reference]]:
    """Give the references to what is here in what a change writes, each with where it stands."""
    resource = parse(change.body.at(1, 0)) if change.body is not None else {}
    for where, element in linking.located(context.services.definitions, resource):
        named = reference.parse(element["reference"], *context.bases)
        if named.form == "local":
            yield where, named


async def _is_version(context: Context, named: Reference, written: AbstractSet[Key]) -> bool:
    """Tell whether there is the version that a reference names, or it is the one that is written along."""
    if not named.version.isdigit() or len(named.version) > _DIGITS:
        return False
    key, number = Key(context.tenant, named.type, named.id), int(named.version)
    version = await context.services.store.vread(key, number)
    if version is None:
        current = await context.services.store.read(key) if key in written else None
        return key in written and number == (current.version_id if current else 0) + 1
    if version.body is None or named.type in WITHOUT_PATIENT_DATA:
        return version.body is not None
    readable = context.access.grants_for(named.type, "r")
    return bool(readable) and await reach.visible(context, version, "r")


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
            nodes = tuple(expression.Reference(atom, key.type, key.id) for atom in sorted(atoms))
            branches.append(Branch(type_, Or(nodes)))
    plan = Plan(context.tenant, tuple(branches), limit=len(along) + 1)
    for match in await context.services.store.search(plan):
        if match.version.key not in along:
            return match.version.key
    return None
