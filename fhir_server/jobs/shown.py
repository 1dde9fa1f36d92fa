"""A job shown as a FHIR Task of the same id: https://hl7.org/fhir/R4/task.html"""

from dataclasses import replace

from fhir_server.access import everything
from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs.job import Job
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import instant
from resources.authored.task import Work, task
from resources.model import serialise

_ours = everything("jobs")


async def show(context: Context, job: Job) -> bytes:
    """Write the Task of a job as it is now, and give its JSON; an unchanged one makes no version."""
    told = job.input.get("told", [])
    work = Work(
        id=job.id,
        code=job.kind,
        display=job.input.get("display", job.kind),
        state=job.state,
        authored=instant(job.created),
        modified=instant(job.ended or job.started or job.created),
        focus=job.input.get("focus"),
        patient=job.input.get("patient"),
        based_on=job.input.get("based_on", ()),
        owner=job.output.get("device"),
        inputs=[(name, {"valueString": value}) for name, value in told],
        outputs=[
            (w, {"valueReference": {"reference": r}}) for w, r in job.output.get("written", ())
        ],
        reason=job.problem,
    )
    ours = replace(context, access=_ours, keep_unchanged=True)
    request = FhirRequest("PUT", f"Task/{job.id}", body=serialise(task(work)))
    return (await dispatch(ours, request)).body


async def given(context: Context, job: Job) -> FhirResponse:
    """Answer the poll of a completed job with its Task, whose outputs refer to the results."""
    return await dispatch(replace(context, access=_ours), FhirRequest("GET", f"Task/{job.id}"))
