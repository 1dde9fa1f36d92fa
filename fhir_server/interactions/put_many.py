"""Many resources put in one commit, each checked and indexed like any other: how our own command loads.

It is what a transaction of updates (FHIR R4 http.html#trules) does without requests, links and answers.
"""

from collections.abc import Sequence
from typing import Final

from fhir_server.context import Context
from fhir_server.interactions import answer, referential, writing
from fhir_server.interactions.update import refuse_id, refuse_part, same
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Change, Version
from resources.model import Resource, parse
from resources.outcome import Forbidden

_PART: Final = b"SUBSETTED"


def prepared(context: Context, resource: Resource, otherwise: str) -> Change:
    """Check, index and serialise a resource under its own id, or `otherwise`; raises FhirError."""
    type_ = resource["resourceType"]
    writing.known_type(context, type_)
    id_ = resource.get("id", otherwise)
    refuse_id(type_, id_)
    return writing.change(context, answer.key(context, type_, id_), "PUT", resource)


async def put(context: Context, changes: Sequence[Change]) -> int:
    """Write, durably and all or none, those changes that change something; gives how many. Raises FhirError.

    No two may be of one key. Only for our own edges: raises Forbidden for any other caller.
    """
    if not context.keep_unchanged:
        raise Forbidden("Only the server itself puts resources without requests")
    services = context.services
    if services.audit is not None:
        services.audit.ready()
    found = await services.store.read_many([change.key for change in changes])
    there = {version.key: version for version in found}
    for change in changes:
        _refuse_part(change, there.get(change.key))
    new = [change for change in changes if not same(context, change, there.get(change.key))]
    await referential.refuse(context, new)
    versions = await services.store.commit(new) if new else ()
    await _tell(context, versions)
    return len(versions)


def _refuse_part(change: Change, existing: Version | None) -> None:
    """Refuse to put a part of a resource over the whole."""
    if existing is not None and change.body is not None and _PART in change.body.tail:
        refuse_part(parse(change.body.at(1, 0)), existing)


async def _tell(context: Context, versions: Sequence[Version]) -> None:
    """Keep in the audit trail what was written, as of a transaction."""
    audit = context.services.audit
    if audit is None or not versions:
        return
    changed = tuple([("PUT", version.reference) for version in versions])
    audit.interaction(context, FhirRequest("POST", ""), FhirResponse(200, changed=changed))
    await audit.synced()
