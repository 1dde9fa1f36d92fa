"""$purge: erase a resource's past for good, as an administrative act that leaves a trace."""

import structlog

from fhir_server.context import Context
from fhir_server.interactions import answer, create
from fhir_server.message import FhirRequest
from fhir_server.store.port import Key, instant
from operations.operation import Out, operation
from resources.model import Resource, serialise
from resources.outcome import Forbidden, NotFound, NotSupported

log = structlog.get_logger()

_REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_CODES = "urn:hounsfield:operation"


@operation(
    "purge",
    level="instance",
    affects_state=True,
    alters=True,
    parameters=(Out("erased", "integer", "How many versions were erased."),),
)
async def purge(context: Context, key: Key) -> Resource:
    """Erase every version of a resource but the current one; delete it first to leave only that.

    Needs a token that may delete everything (system/*.d). Leaves an AuditEvent and a line in the log.
    """
    if not context.access.unlimited("*", "d"):
        raise Forbidden("A purge needs a token that may delete everything")
    context.refuse_to_alter(key.type)
    erase = context.services.purge
    if erase is None:
        raise NotSupported("This store cannot purge")
    if await context.services.store.read(answer.key(context, key.type, key.id)) is None:
        raise NotFound("There is no such resource")
    event = serialise(_event(context, key))
    await create.create(
        context.as_ours(), FhirRequest("POST", "AuditEvent", body=event), "AuditEvent"
    )
    erased = await erase(key)
    log.info("purged", tenant=key.tenant, type=key.type, versions=erased, by=context.access.subject)
    return {"resourceType": "Parameters", "parameter": [{"name": "erased", "valueInteger": erased}]}


def _event(context: Context, key: Key) -> Resource:
    """Give what tells of the purge; it is stored before, so that none goes untold."""
    caller = context.access
    who = {"who": {"reference": caller.fhir_user}} if caller.fhir_user else {}
    return {
        "resourceType": "AuditEvent",
        "type": {"system": _REST, "code": "rest", "display": "RESTful Operation"},
        "subtype": [{"system": _CODES, "code": "purge", "display": "Erase past versions"}],
        "action": "D",
        "recorded": instant(context.services.clock()),
        "agent": [{**who, "altId": caller.client or caller.subject, "requestor": True}],
        "source": {"observer": {"display": "Hounsfield"}},
        "entity": [{"what": {"reference": key.reference}}],
    }
