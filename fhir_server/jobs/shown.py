"""A job shown as a FHIR Task of the same id: https://hl7.org/fhir/R4/task.html"""

from msgspec.structs import replace

from fhir_server.access import everything
from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs import job as jobs
from fhir_server.jobs import status
from fhir_server.jobs.job import Job
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Key, Version, instant
from resources.authored.task import Work, task
from resources.model import Resource, parse, serialise
from resources.outcome import Conflict, FhirError, PreconditionFailed

_ROUNDS = 20
_ours = everything("jobs")


async def start(context: Context, job: Job) -> FhirResponse:
    """Queue a job and answer the request that started it: 202, its status URL, its Task."""
    documents = context.services.documents
    await jobs.enqueue(documents, job, context.services.clock())
    try:
        shown = await show(context, job)
    except FhirError:
        await jobs.cancel(documents, job, context.services.clock())
        await jobs.forget(documents, job)
        raise
    context.services.wake()
    accepted = status.accepted(context, job)
    return FhirResponse(accepted.status, shown, accepted.headers)


async def show(context: Context, job: Job) -> bytes:
    """Bring the Task of a job up to what the job is now, and give its JSON.

    Whoever shows looks at the job after the Task, and writes only over the Task it looked at, so that of
    several none can turn it back. A Task that tells the truth already gets no new version.
    """
    ours = replace(context, access=_ours)
    services, key = context.services, Key(job.tenant, "Task", job.id)
    for _ in range(_ROUNDS):
        version = await services.store.read(key)
        job = await jobs.find(services.documents, job.tenant, job.id) or job
        wanted = _task(job)
        if version is not None and version.body is not None and _content(version.body) == wanted:
            return version.body
        try:
            await dispatch(ours, _put(wanted, version))
        except PreconditionFailed:
            continue
    raise Conflict("The Task of the job is changed by others all the time")


async def given(context: Context, job: Job) -> FhirResponse:
    """Answer the poll of a completed job with its Task, whose outputs refer to the results."""
    return FhirResponse(200, await show(context, job))


def _put(wanted: Resource, version: Version | None) -> FhirRequest:
    if version is None or version.body is None:
        headers = {"if-none-match": "*"}
    else:
        headers = {"if-match": f'W/"{version.version_id}"'}
    return FhirRequest("PUT", f"Task/{wanted['id']}", (), headers, serialise(wanted))


def _content(body: bytes) -> Resource:
    return {name: value for name, value in parse(body).items() if name != "meta"}


def _task(job: Job) -> Resource:
    told = [(name, {"valueString": value}) for name, value in job.input.get("told", ())]
    written = [
        (type_, {"valueReference": {"reference": reference}})
        for type_, reference in job.output.get("written", ())
    ]
    return task(
        Work(
            id=job.id,
            code=job.kind,
            display=job.input.get("display", job.kind),
            state=job.state,
            authored=instant(job.created),
            modified=instant(job.ended or job.started or job.created),
            focus=job.input.get("focus"),
            patient=job.input.get("patient"),
            based_on=job.input.get("based_on", ()),
            requester=job.requester,
            owner=job.output.get("device"),
            started=None if job.started is None else instant(job.started),
            ended=None if job.ended is None else instant(job.ended),
            inputs=told,
            outputs=written,
            reason=job.problem,
            progress=job.input.get("progress", ""),
        )
    )
