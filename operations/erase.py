"""Patient/$erase: one person's record erased for good; the audit trail stays (GDPR Art. 17)."""

from collections.abc import AsyncIterator

import structlog

from fhir_server.context import Context
from fhir_server.interactions import delete
from fhir_server.message import FhirRequest
from fhir_server.search.expression import Branch, Cursor, Plan
from fhir_server.store.port import Key, Version
from operations.operation import In, Out, operation
from resources.model import Resource, parse
from resources.outcome import Forbidden, Invalid, NotFound, NotSupported

log = structlog.get_logger()

_PATIENT = "Patient"
_STAYS = frozenset({"AuditEvent"})
_PAGE = 200


@operation(
    "erase",
    on=_PATIENT,
    level="instance",
    affects_state=True,
    parameters=(
        In("reason", "string", "Why, in a few words; it is kept in the audit trail.", min=1),
        Out("erased", "integer", "How many resources were erased, each with its whole past."),
        Out("shared", "integer", "How many are of other patients too, and stay."),
    ),
)
async def erase(context: Context, key: Key, *, reason: str) -> Resource:
    """Erase a patient and every resource of her compartment alone, all versions of them.

    Needs a token that may delete everything (system/*.d). AuditEvents stay.
    """
    if not context.access.unlimited("*", "d"):
        raise Forbidden("An erasure needs a token that may delete everything")
    if len(reason.split()) < 2:
        raise Invalid("The reason is told in two words or more", issue="value")
    purge = context.services.purge
    if purge is None:
        raise NotSupported("This store cannot erase")
    if await context.services.store.read(key) is None:
        raise NotFound("There is no such resource")
    erased = shared = 0
    async for version in _record(context, key):
        if _others(context, version, key.id):
            shared += 1
            continue
        await _gone(context, version.key)
        await purge(version.key)
        erased += 1
    await _gone(context, key)
    await purge(key)
    log.info("erased", tenant=key.tenant, resources=erased + 1, shared=shared)
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "erased", "valueInteger": erased + 1},
            {"name": "shared", "valueInteger": shared},
        ],
    }


async def _gone(context: Context, key: Key) -> None:
    """Delete a resource, if it is not deleted already."""
    await delete.delete(context.as_ours(), FhirRequest("DELETE", key.reference), key.type, key.id)


async def _record(context: Context, key: Key) -> AsyncIterator[Version]:
    """Give what is in the patient's compartment beside herself and what stays, type by type."""
    planner = context.services.planner
    types = context.services.definitions.compartments[_PATIENT].keys() - _STAYS - {_PATIENT}
    for type_ in sorted(types):
        where = planner.compartment(_PATIENT, key.id, type_)
        after = None
        while True:
            plan = Plan(context.tenant, (Branch(type_, where),), limit=_PAGE, after=after)
            found = await context.services.store.search(plan)
            for match in found:
                yield match.version
            if len(found) < _PAGE:
                break
            after = Cursor(found[-1].keys, found[-1].place)


def _others(context: Context, version: Version, patient: str) -> bool:
    """Tell whether a resource is in the compartment of another patient too."""
    parameters = context.services.planner.parameters
    members = parameters.compartment(_PATIENT, version.key.type)
    atoms = {atom.name for parameter in members for atom in parameter.atoms}
    references = parameters.values(parse(version.body or b"")).references
    return any(r.type == _PATIENT and r.atom in atoms and r.id != patient for r in references)
