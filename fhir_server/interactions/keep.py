"""Resources of our own making, each kept once however often it is told (FHIR R4 http.html#create)."""

from collections.abc import Sequence

from fhir_server.context import Context
from fhir_server.interactions import answer
from fhir_server.interactions.writing import body
from fhir_server.store.port import Change, VersionConflict, VersionIs
from resources.model import Resource
from resources.outcome import Forbidden


async def keep(context: Context, resources: Sequence[Resource]) -> int:
    """Create those that are not there yet, in one commit; gives how many. They are not validated again.

    Only for our own edges: raises Forbidden for any other caller.
    """
    return await keep_changes(context, [_change(context, resource) for resource in resources])


async def keep_changes(context: Context, changes: Sequence[Change]) -> int:
    """Create what is ready to be stored and not there yet, in one commit; gives how many, as `keep` does."""
    if not context.keep_unchanged:
        raise Forbidden("Only the server itself keeps resources without validation")
    store = context.services.store
    while changes:
        guards = [VersionIs(change.key, None) for change in changes]
        try:
            await store.commit(changes, guards)
        except VersionConflict as conflict:
            there = {version.key for version in await store.read_many([c.key for c in changes])}
            there.add(conflict.key)
            changes = [change for change in changes if change.key not in there]
            continue
        break
    return len(changes)


def _change(context: Context, resource: Resource) -> Change:
    key = answer.key(context, resource["resourceType"], resource["id"])
    values = context.services.planner.parameters.values(resource)
    return Change(key, "POST", body(resource), values)
