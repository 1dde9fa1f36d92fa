"""$packages: the FHIR packages that are here (https://hl7.org/fhir/R4/packages.html)."""

from typing import Any

from conformance.canonicals import shipped
from fhir_server.context import Context
from fhir_server.interactions import packages as installed
from fhir_server.store.port import Key, instant
from operations.operation import Out, operation
from resources.model import Resource


@operation(
    "packages",
    level="system",
    parameters=(
        Out("package", "BackboneElement", "A package: name, version, title, what it lacks."),
    ),
)
async def packages(context: Context, place: Key | str | None) -> Resource:
    """List the FHIR packages of the tenant: those that came with the server, and those installed."""
    del place
    context.require("StructureDefinition", "s")
    records = await installed.listed(context)
    told = [
        _package(one.manifest.name, one.manifest.version, ("title", one.manifest.title))
        for one in shipped()
    ]
    for record in records:
        lacking = [("missing", one) for one in installed.missing(record, records)]
        about = _package(record.name, record.version, ("title", record.title), *lacking)
        about["part"] += [
            {"name": "resources", "valueInteger": record.resources},
            {"name": "installed", "valueInstant": instant(record.installed)},
            {"name": "complete", "valueBoolean": record.complete},
        ]
        told.append(about)
    return {"resourceType": "Parameters", "parameter": told}


def _package(name: str, version: str, *more: tuple[str, str]) -> dict[str, Any]:
    parts = [("name", name), ("version", version), *more]
    held = [{"name": what, "valueString": text} for what, text in parts if text]
    return {"name": "package", "part": held}
