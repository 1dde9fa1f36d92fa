"""The status of a job by the Asynchronous Request pattern: https://hl7.org/fhir/R4/async.html

A poll, a cancel and a file each look at the caller's access anew (Bulk Data Access 2.0, security).
"""

from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate

from fhir_server.access import Letter
from fhir_server.context import Context, Route
from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import ENDED, KEPT, Job
from fhir_server.jobs.kind import Kind
from fhir_server.message import FhirRequest, FhirResponse
from resources.model import serialise
from resources.outcome import (
    Conflict,
    FhirError,
    MethodNotAllowed,
    NotFound,
    Unprocessable,
)

PLACE = "_async"
RETRY = 1

Show = Callable[[Context, Job], Awaitable[object]]
"""Brings the Task of a job up to date."""


def accepted(context: Context, job: Job) -> FhirResponse:
    """Answer the request that started a job: 202 with the place of its status."""
    return FhirResponse(202, b"", {"Content-Location": f"{context.base}/{PLACE}/{job.id}"})


class Status:
    """Answers polls, cancels, and the files of completed jobs, each under the caller's access."""

    def __init__(self, kinds: Mapping[str, Kind], show: Show, wake: Callable[[], None]) -> None:
        self._kinds = kinds
        self._show = show
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
        letter: Letter = "d" if request.method == "DELETE" else "r"
        if job is None or job.kind not in self._kinds or not jobs.may(job, context.access, letter):
            raise NotFound("There is no such job, or it is not this token's")
        if request.method == "DELETE" and not file:
            return await self._delete(context, job)
        if request.method not in {"GET", "HEAD"}:
            allow = "GET, HEAD" if file else "GET, HEAD, DELETE"
            raise MethodNotAllowed(f"A job's place takes {allow}", allow=allow)
        return await (
            self._file(context, job, "/".join(file)) if file else self._poll(context, job)
        )

    async def _poll(self, context: Context, job: Job) -> FhirResponse:
        match job.state:
            case "queued" | "running":
                told = {"X-Progress": f"{job.state}, {job.progress} %", "Retry-After": str(RETRY)}
                return FhirResponse(202, b"", told)
            case "cancelled":
                raise NotFound("The job was cancelled")
            case "failed":
                problem = job.problem or "The job failed"
                kind = Unprocessable if job.refusal < 500 else FhirError
                raise kind(problem, issue="processing")
            case "completed":
                answered = await self._kinds[job.kind].given(context, job)
                until = formatdate(((job.ended or 0) + KEPT) / 1000, usegmt=True)
                headers = {**answered.headers, "Expires": until}
                return FhirResponse(answered.status, answered.body, headers, answered.media_type)

    async def _file(self, context: Context, job: Job, name: str) -> FhirResponse:
        file = self._kinds[job.kind].file
        if file is None or job.state != "completed":
            raise NotFound("The job has no such file")
        return await file(context, job, name)

    async def _delete(self, context: Context, job: Job) -> FhirResponse:
        """Cancel what has not ended; forget what has, with its files (Bulk Data: delete request)."""
        services = context.services
        cancelled = await jobs.cancel(services.documents, job, services.clock())
        if cancelled is not None:
            await self._show(context, cancelled)
            self._wake()
            return FhirResponse(202)
        now = await jobs.find(services.documents, job.tenant, job.id)
        if now is not None and now.state not in ENDED:
            raise Conflict(
                "The job is writing its results at this moment; it is too late to cancel"
            )
        await jobs.forget(services.documents, job)
        forget = self._kinds[job.kind].forget
        if forget is not None:
            await forget(job)
        return FhirResponse(202)


def json_answer(value: object) -> FhirResponse:
    """Give plain JSON that is no resource, e.g. an export's manifest."""
    return FhirResponse(200, serialise(value), {}, "application/json")
