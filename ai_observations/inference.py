"""A queued inference as work: the study's pixels to a model, its results into one transaction."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ai_observations import registry
from ai_observations.imaging_input import ImageSource, modalities, study_uid
from ai_observations.model import ImagingModel
from ai_observations.observation import results_bundle
from ai_observations.process import InferenceProcess
from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs.job import Job
from fhir_server.jobs.runner import Progress
from fhir_server.message import FhirRequest
from fhir_server.store.port import instant
from resources.model import Resource, parse, serialise
from resources.outcome import NotFound, Unprocessable

Source = Callable[[str], ImageSource]
"""Gives the images of a tenant."""
Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""


class InstalledModels:
    """The models declared here, those whose weights are missing told as such."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._models = registry.discover()

    def chosen(self, study: Resource, model_id: str | None) -> str:
        """Give the id of the model to run; raises NotFound or Unprocessable (see context.Models)."""
        if model_id is not None:
            model = registry.find(model_id)
            registry.locate(model, self._cache)
            return model.id
        kinds = modalities(study)
        fitting = [m for m in self._models.values() if kinds & set(m.accepts.modality)]
        specific = sorted(fitting, key=lambda m: (len(m.accepts.modality), m.id))
        for model in specific:
            if registry.state(model, self._cache).installed:
                return model.id
        raise Unprocessable(
            "No installed model is made for this study's modality", issue="not-found"
        )

    def states(self) -> Sequence[registry.ModelState]:
        """Give each model with whether it can run here."""
        return [registry.state(model, self._cache) for model in self._models.values()]


class Inference:
    """Does the work of an inference job; running it again replaces what it wrote."""

    def __init__(self, process: InferenceProcess, source: Source, ours: Ours) -> None:
        self._process = process
        self._source = source
        self._ours = ours

    async def work(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Read, run, write; gives the references that were written. Raises what the model raises."""
        context = self._ours(job.tenant)
        study = await _read(context, job.input["focus"])
        model = registry.find(job.input["model"])
        await progress(5)
        instances = [i async for i in self._source(job.tenant).instances(study_uid(study))]
        if not instances:
            raise NotFound("The study has no instances in the archive")
        await progress(20)
        result = await self._process.run(model.id, instances)
        await progress(90)
        now = instant(context.services.clock())
        bundle = results_bundle(study, result, model, now=now)
        return {"written": await _written(context, bundle), **_told(model, result.seconds)}


def _told(model: ImagingModel, seconds: float) -> dict[str, Any]:
    return {"model": model.name, "seconds": seconds}


async def _read(context: Context, reference: str) -> Resource:
    response = await dispatch(context, FhirRequest("GET", reference))
    return parse(response.body)


async def _written(context: Context, bundle: Resource) -> list[list[str]]:
    """Store the results in one transaction and give (type, reference) of each."""
    response = await dispatch(context, FhirRequest("POST", "", body=serialise(bundle)))
    written = []
    for entry in parse(response.body)["entry"]:
        location = entry["response"]["location"].removeprefix(context.base + "/")
        reference = location.partition("/_history/")[0]
        written.append([reference.partition("/")[0], reference])
    return written
