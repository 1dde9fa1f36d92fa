"""$export: bulk data as NDJSON, by a durable job (Bulk Data Access 2.0, FHIR R4 async.html).

Offered at system level and for all Patients, to tokens without compartment limits. Each type is read
page by page in the store's own order, so whatever was there at the start is in the files.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown, status
from fhir_server.jobs.job import Job
from fhir_server.jobs.runner import Progress
from fhir_server.message import FhirResponse
from fhir_server.search.expression import ALWAYS, And, Branch, Cursor, Expression, Plan, Updated
from fhir_server.search.values import MAX_INSTANT
from fhir_server.store.port import instant
from operations.operation import In, Out, operation
from resources import datatypes
from resources.outcome import Forbidden, Invalid, NotFound, NotSupported

KIND = "export"
_PAGE = 500
_NDJSON = "application/fhir+ndjson"
_FORMATS = frozenset({_NDJSON, "application/ndjson", "ndjson"})


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
    outputFormat: str = _NDJSON,  # noqa: N803 - the parameter's name in the specification
    since: str | None = None,
    type: tuple[str, ...] = (),
) -> FhirResponse:
    """Start a bulk export and answer at once with the place of its status."""
    if outputFormat not in _FORMATS:
        raise NotSupported(f"_outputFormat is offered with {_NDJSON}")
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
            "base": context.base,
            "told": [["type", name] for name in types[:20]],
        },
        owner=jobs.owner(context.access),
        request=f"{context.base}/{place + '/' if place else ''}$export",
        created=services.clock(),
    )
    await jobs.enqueue(services.documents, job)
    await shown.show(context, job)
    services.wake()
    return status.accepted(context, job)


def _types(context: Context, place: str | None, asked: tuple[str, ...]) -> list[str]:
    """Give the types to export, each of which the caller must be allowed without limits."""
    known = context.services.definitions.resource_types
    named = [name for text in asked for name in text.split(",") if name]
    if unknown := sorted(set(named) - known):
        raise Invalid(f"_type names {len(unknown)} type(s) that R4 does not have", issue="value")
    if place == "Patient":
        members = context.services.definitions.compartments["Patient"]
        known = frozenset({"Patient", *members}) & known
        named = [name for name in named if name in known]
    allowed = [n for n in sorted(named or known) if context.access.unlimited(n, "r")]
    if not allowed or (named and len(allowed) < len(set(named))):
        raise Forbidden("An export needs system scopes for every type that it names")
    return allowed


def _moment(since: str | None) -> int | None:
    if since is None:
        return None
    try:
        return datatypes.interval(since)[0]
    except ValueError:
        raise Invalid("_since takes an instant", issue="value") from None


class Export:
    """Does the work of an export job, and gives its manifest and files; files lie under `folder`."""

    def __init__(self, folder: Path, ours: Callable[[str], Context]) -> None:
        self._folder = folder
        self._ours = ours

    async def work(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Write a file for each type that has resources; gives the counts by type."""
        context = self._ours(job.tenant)
        folder = self._folder / job.id
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        counts: dict[str, int] = {}
        types = job.input["types"]
        for done, type_ in enumerate(types):
            await progress(100 * done // len(types))
            count = await self._written(context, job, folder / f"{type_}.ndjson")
            if count:
                counts[type_] = count
        return {"counts": counts, "time": instant(job.started or job.created)}

    async def _written(self, context: Context, job: Job, file: Path) -> int:
        """Write one type, whole or not at all; gives how many resources it has."""
        since = job.input["since"]
        where: Expression = ALWAYS if since is None else And((Updated("ge", since, MAX_INSTANT),))
        part, count, after = file.with_suffix(".part"), 0, None
        with part.open("wb") as stream:
            while True:
                plan = Plan(job.tenant, (Branch(file.stem, where),), limit=_PAGE, after=after)
                page = await context.services.store.search(plan)
                lines = b"".join((m.version.body or b"") + b"\n" for m in page)
                await asyncio.to_thread(stream.write, lines)
                count += len(page)
                if len(page) < _PAGE:
                    break
                after = Cursor(page[-1].keys, page[-1].place)
        await asyncio.to_thread(part.replace, file)
        return count

    async def manifest(self, context: Context, job: Job) -> FhirResponse:
        """Answer the poll of a completed export (Bulk Data Access: complete status)."""
        place = f"{context.base}/{status.PLACE}/{job.id}"
        return status.json_answer(
            {
                "transactionTime": job.output["time"],
                "request": job.request,
                "requiresAccessToken": True,
                "output": [
                    {"type": type_, "url": f"{place}/{type_}.ndjson", "count": count}
                    for type_, count in sorted(job.output["counts"].items())
                ],
                "error": [],
            }
        )

    async def file(self, context: Context, job: Job, name: str) -> FhirResponse:
        """Give one file, to a caller whose token still allows its type."""
        type_ = name.removesuffix(".ndjson")
        if type_ not in job.output["counts"] or name != f"{type_}.ndjson":
            raise NotFound("The export has no such file")
        if not context.access.unlimited(type_, "r"):
            raise Forbidden("The token does not cover this file's type")
        return FhirResponse(200, b"", {}, _NDJSON, self._folder / job.id / name)
