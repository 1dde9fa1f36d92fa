"""$package-install: install a FHIR package in NPM's form (https://hl7.org/fhir/R4/packages.html)."""

import asyncio
import base64
import binascii

import structlog

from conformance import packages
from fhir_server.context import Context
from fhir_server.interactions import packages as installed
from fhir_server.store.port import Key
from operations.operation import In, Out, operation
from resources.model import Resource
from resources.outcome import Invalid

log = structlog.get_logger()


@operation(
    "package-install",
    level="system",
    affects_state=True,
    parameters=(
        In("content", "base64Binary", "The package: a .tgz of at most 64 MiB.", min=1),
        Out("package", "string", "Name and version, as in hl7.fhir.us.core#6.1.0."),
        Out("resources", "integer", "How many resources it has."),
        Out("missing", "string", "A package that it depends on and that is not installed."),
    ),
)
async def package_install(context: Context, place: Key | str | None, *, content: str) -> Resource:
    """Install a FHIR package for the tenant: its conformance resources become searchable and usable at once.

    Needs a token that may write and delete everything (system/*.cruds). Again, it writes what is not there.
    """
    del place
    installed.permitted(context)
    try:
        raw = base64.b64decode(content, validate=True)
    except binascii.Error:
        raise Invalid("content is not base64", expression="Parameters.parameter") from None
    pack = await asyncio.to_thread(packages.read, raw)
    record = await installed.install(context, pack)
    log.info("package installed", tenant=context.tenant, package=record.key)
    missing = installed.missing(record, await installed.listed(context))
    told = [
        {"name": "package", "valueString": record.key},
        {"name": "resources", "valueInteger": record.resources},
        *({"name": "missing", "valueString": one} for one in missing),
    ]
    return {"resourceType": "Parameters", "parameter": told}
