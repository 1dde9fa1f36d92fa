"""ImagingStudy/$infer: start an imaging model on a study, as a durable job (FHIR R4 async.html).

The caller must reach the study and may create Tasks. The answer is 202 with the place of the job's
status and its Task, whether or not Prefer asks for it: there is no synchronous form.
"""

import asyncio
from typing import Any

from fhir_server.context import Context
from fhir_server.interactions import reach
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job
from fhir_server.message import FhirResponse
from fhir_server.store.port import Key
from operations.operation import In, Out, operation
from resources.model import Resource, parse
from resources.outcome import NotFound, NotSupported

KIND = "infer"


@operation(
    "infer",
    on="ImagingStudy",
    level="instance",
    affects_state=True,
    parameters=(
        In(
            "model",
            "string",
            "Id of the model; without it the one that suits the study's modality.",
        ),
        Out("return", "Task", "The Task that shows the job; its outputs refer to the results."),
    ),
)
async def infer(context: Context, study: Key, *, model: str | None = None) -> FhirResponse:
    """Start a model on the study and answer at once; the results are preliminary Observations."""
    context.require("Task", "c")
    version = await reach.current(context, study, "r")
    if version is None or version.body is None:
        raise NotFound("There is no such study, or it is out of this token's reach")
    services = context.services
    if services.models is None:
        raise NotSupported("This server runs no imaging models")
    resource = parse(version.body)
    chosen = await asyncio.to_thread(services.models.chosen, resource, model)
    job = Job(
        id=services.new_id(),
        tenant=context.tenant,
        kind=KIND,
        input=_input(study, resource, chosen),
        owner=jobs.owner(context.access),
        request=f"{context.base}/{study.reference}/$infer",
        created=services.clock(),
        requester=context.access.fhir_user,
    )
    return await shown.start(context, job)


def _input(study: Key, resource: Resource, model: str) -> dict[str, Any]:
    """Give what the job and its Task need to know of the study."""
    return {
        "display": "Run an imaging model on a study",
        "focus": study.reference,
        "patient": resource.get("subject", {}).get("reference"),
        "based_on": [r["reference"] for r in resource.get("basedOn", []) if "reference" in r],
        "model": model,
        "told": [["model", model]],
    }
