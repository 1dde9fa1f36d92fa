"""The status of a job by the Asynchronous Request pattern: https://hl7.org/fhir/R4/async.html"""

from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate

from fhir_server.context import Context, Route
from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import Job
from fhir_server.message import FhirRequest, FhirResponse
from resources.model import serialise
from resources.outcome import Gone, MethodNotAllowed, NotFound, Unprocessable

PLACE = "_async"
RETRY = 1
KEPT = 24 * 3600 * 1000

Given = Callable[[Context, Job], Awaitable[FhirResponse]]
"""Gives the answer of a completed job of one kind, to a caller that may see it."""
File = Callable[[Context, Job, str], Awaitable[FhirResponse]]
"""Gives one file of a completed job."""


def accepted(context: Context, job: Job) -> FhirResponse:
    """Answer the request that started a job: 202 with the place of its status."""
    return FhirResponse(202, b"", {"Content-Location": f"{context.base}/{PLACE}/{job.id}"})


class Status:
    """Answers polls, cancels, and the files of completed jobs, each under the caller's access."""

    def __init__(
        self, given: Mapping[str, Given], files: Mapping[str, File], wake: Callable[[], None]
    ) -> None:
        self._given = given
        self._files = files
        self._wake = wake

    def route(self) -> Route:
        """Give the place as dispatch sees it."""
        return Route(
            PLACE, frozenset({"system"}), frozenset(), affects_state=False, answer=self.answer
        )

    async def answer(self, context: Context, request: FhirRequest) -> FhirResponse:
        """Answer a poll (GET), a cancel (DELETE) or a file's GET; 404 for what is not the caller's."""
        _, id_, *file = request.path.strip("/").split("/")
        job = await jobs.find(context.services.documents, context.tenant, id_)
        if job is None or not jobs.may_see(job, context.access):
            raise NotFound("There is no such job, or it is not this token's")
        if request.method == "DELETE" and not file:
            return await self._cancelled(context, job)
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed("A job's status takes GET and DELETE")
        return await (
            self._file(context, job, "/".join(file)) if file else self._poll(context, job)
        )

    async def _poll(self, context: Context, job: Job) -> FhirResponse:
        match job.state:
            case "queued" | "running":
                told = {"X-Progress": f"{job.state}, {job.progress} %", "Retry-After": str(RETRY)}
                return FhirResponse(202, b"", told)
            case "cancelled":
                raise Gone("The job was cancelled", issue="processing")
            case "failed":
                raise Unprocessable(job.problem or "The job failed", issue="processing")
            case "completed":
                answered = await self._given[job.kind](context, job)
                until = formatdate(((job.ended or 0) + KEPT) / 1000, usegmt=True)
                headers = {**answered.headers, "Expires": until}
                return FhirResponse(answered.status, answered.body, headers, answered.media_type)

    async def _file(self, context: Context, job: Job, name: str) -> FhirResponse:
        files = self._files.get(job.kind)
        if files is None or job.state != "completed":
            raise NotFound("The job has no such file")
        return await files(context, job, name)

    async def _cancelled(self, context: Context, job: Job) -> FhirResponse:
        """Cancel what runs; forget the files of what has ended (Bulk Data: delete request)."""
        services = context.services
        await jobs.request_cancel(services.documents, job, services.clock())
        self._wake()
        return FhirResponse(202)


def json_answer(value: object) -> FhirResponse:
    """Give plain JSON that is no resource, e.g. an export's manifest."""
    return FhirResponse(200, serialise(value), {}, "application/json")
