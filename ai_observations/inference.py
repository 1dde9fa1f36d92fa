"""A queued inference as work: the study's pixels to a model, its results into one transaction."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ai_observations import registry
from ai_observations.imaging_input import ImageSource, modalities, study_uid
from ai_observations.model import ImagingModel, NotInstalled, Unsuitable
from ai_observations.observation import results_bundle
from ai_observations.process import InferenceProcess
from ai_observations.registry import ModelState
from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Progress
from fhir_server.message import FhirRequest
from fhir_server.store.port import instant
from resources.model import Resource, parse, serialise
from resources.outcome import NotFound, Unprocessable

Source = Callable[[str], ImageSource]
"""Gives the images of a tenant."""
Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""
_Seen = tuple[tuple[int, int] | None, ...]


class InstalledModels:
    """The models declared here, those whose weights are missing told as such.

    Weights are hashed once, and again when their files change; a run verifies them anew.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._models = registry.discover()
        self._states: dict[str, tuple[_Seen, ModelState]] = {}

    def chosen(self, study: Resource, model_id: str | None) -> str:
        """Give the id of the model to run; raises NotFound or Unprocessable (see context.Models).

        Without an id it is the installed model that accepts the fewest modalities beside the study's.
        It may read large files.
        """
        kinds = modalities(study)
        if model_id is not None:
            return self._asked(model_id, kinds).id
        fitting = [m for m in self._models.values() if kinds & set(m.accepts.modality)]
        states = [self._state(m) for m in sorted(fitting, key=_breadth)]
        for state in states:
            if state.installed:
                return state.model_id
        if states:
            raise NotInstalled(states[0].reason)
        raise Unprocessable("No model is made for this study's modality", issue="not-found")

    def states(self) -> Sequence[ModelState]:
        """Give each model with whether it can run here; it may read large files."""
        return [self._state(model) for model in self._models.values()]

    def _asked(self, model_id: str, kinds: frozenset[str]) -> ImagingModel:
        """Give the model of an id, which must be installed and made for one of the modalities, if any."""
        model = self._models.get(model_id)
        if model is None:
            raise NotFound(f"There is no such model; there are {', '.join(self._models)}")
        state = self._state(model)
        if not state.installed:
            raise NotInstalled(state.reason)
        if kinds and not kinds & set(model.accepts.modality):
            wanted = " or ".join(model.accepts.modality)
            raise Unsuitable(f"{model.id} is made for {wanted}, which the study has none of")
        return model

    def _state(self, model: ImagingModel) -> ModelState:
        seen = tuple(_stamp(registry.weights_path(w, self._cache)) for w in model.weights)
        known = self._states.get(model.id)
        if known is None or known[0] != seen:
            known = self._states[model.id] = (seen, registry.state(model, self._cache))
        return known[1]


def _breadth(model: ImagingModel) -> tuple[int, str]:
    return len(model.accepts.modality), model.id


def _stamp(path: Path) -> tuple[int, int] | None:
    """Give size and time of a file, by which a change of it is noticed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


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
        await progress.settle()
        written = await _written(context, bundle)
        told = {"model": model.name, "seconds": result.seconds, "device": _device(written)}
        return {"written": written, **told}


def _device(written: list[list[str]]) -> str | None:
    return next((reference for type_, reference in written if type_ == "Device"), None)


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
