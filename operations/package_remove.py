"""$package-remove: remove an installed FHIR package (https://hl7.org/fhir/R4/packages.html)."""

import structlog

from fhir_server.context import Context
from fhir_server.interactions import packages as installed
from fhir_server.interactions.dispatch import dispatch
from fhir_server.store.port import Key
from operations.operation import In, Out, operation
from resources.model import Resource

log = structlog.get_logger()


@operation(
    "package-remove",
    level="system",
    affects_state=True,
    parameters=(
        In("name", "string", "The package's name, as in hl7.fhir.us.core.", min=1),
        In("version", "string", "Its version, where several are installed."),
        Out("package", "string", "Name and version of what was removed."),
    ),
)
async def package_remove(
    context: Context, place: Key | str | None, *, name: str, version: str = ""
) -> Resource:
    """Remove a FHIR package of the tenant: delete the resources that came with it.

    Needs a token that may write and delete everything (system/*.cruds).
    """
    del place
    installed.permitted(context)
    record = await installed.remove(context, name, version, dispatch)
    log.info("package removed", tenant=context.tenant, package=record.key)
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "package", "valueString": record.key}],
    }
