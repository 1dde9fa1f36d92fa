"""$export: bulk data as NDJSON, by a durable job (Bulk Data Access 2.0, FHIR R4 async.html).

Offered at system level and for all Patients, to tokens without compartment limits.
"""

from urllib.parse import urlencode

import msgspec

from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job
from fhir_server.message import FhirResponse
from operations.bulk.exporting import NDJSON
from operations.operation import In, Out, operation
from resources import datatypes
from resources.outcome import Forbidden, Invalid, NotSupported

KIND = "export"
_FORMATS = frozenset({NDJSON, "application/ndjson", "ndjson"})
_MOST_TOLD = 20


@operation(
    "export",
    on="Patient",
    level="system type",
    parameters=(
        In("_outputFormat", "string", "application/fhir+ndjson, the only format."),
        In("_since", "instant", "Only what was last updated at or after this instant."),
        In("_type", "string", "Types to export, separated by commas.", max=None),
        Out("return", "Bundle", "The manifest, by the job's status URL."),
    ),
)
async def export(
    context: Context,
    place: str | None,
    *,
    outputFormat: str = NDJSON,  # noqa: N803 - the parameter's name in the specification
    since: str | None = None,
    type: tuple[str, ...] = (),
) -> FhirResponse:
    """Start a bulk export and answer at once with the place of its status."""
    # a plus sign that a client did not escape in its query arrives as a space
    if outputFormat.replace(" ", "+") not in _FORMATS:
        raise NotSupported(f"_outputFormat is offered with {NDJSON}")
    types = _types(context, place, type)
    services = context.services
    job = Job(
        id=services.new_id(),
        tenant=context.tenant,
        kind=KIND,
        input={
            "display": "Export as NDJSON",
            "types": types,
            "since": _moment(since),
            "of_patients": place == "Patient",
            "access": msgspec.to_builtins(context.access),
            "told": [["type", name] for name in types[:_MOST_TOLD]],
        },
        owner=jobs.owner(context.access),
        request=_request(context, place, outputFormat, since, type),
        created=services.clock(),
        requester=context.access.fhir_user,
    )
    accepted = await shown.start(context, job)
    return FhirResponse(accepted.status, b"", accepted.headers)


def _types(context: Context, place: str | None, asked: tuple[str, ...]) -> list[str]:
    """Give the types to export, each of which the caller must be allowed without limits."""
    offered = context.services.definitions.resource_types
    named = {name for text in asked for name in text.split(",") if name}
    if unknown := named - offered:
        raise Invalid(f"_type names {len(unknown)} type(s) that R4 does not have", issue="value")
    if place == "Patient":
        offered &= {"Patient", *context.services.definitions.compartments["Patient"]}
    if outside := named - offered:
        raise Invalid(
            f"_type names {len(outside)} type(s) that are in no patient's compartment",
            issue="value",
        )
    allowed = {name for name in named or offered if context.access.granted(name, "r")}
    if not allowed or named - allowed:
        raise Forbidden("An export needs scopes without limits for every type that it names")
    return sorted(allowed)


def _moment(since: str | None) -> int | None:
    if since is None:
        return None
    try:
        return datatypes.interval(since)[0]
    except ValueError:
        raise Invalid("_since takes an instant", issue="value") from None


def _request(
    context: Context, place: str | None, format_: str, since: str | None, types: tuple[str, ...]
) -> str:
    """Give the URL of the kick-off request, as the manifest repeats it."""
    asked = [("_outputFormat", format_)] if format_ != NDJSON else []
    asked += [("_since", since)] if since else []
    asked += [("_type", text) for text in types]
    query = f"?{urlencode(asked, safe=',:')}" if asked else ""
    return f"{context.base}/{place + '/' if place else ''}$export{query}"
