"""Long work: every kind of job, what runs them, and what tells of them as Tasks."""

from collections.abc import Callable
from dataclasses import dataclass

from ai_observations.inference import Inference
from ai_observations.process import InferenceProcess
from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.source import ArchiveSource
from fhir_server.access import Access
from fhir_server.app.clock import now
from fhir_server.app.stores import Adapter, files
from fhir_server.context import Context
from fhir_server.jobs import deferred, parameter_index, reindexing, shown
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind
from fhir_server.jobs.runner import Runner
from fhir_server.jobs.status import Status
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.settings import Settings
from fhir_server.supervision import server_name
from operations import export, infer
from operations.bulk.exporting import Exporting

Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""
ContextFor = Callable[[str, Access], Context]
"""Gives a caller's context in a tenant."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """How contexts are made: our own, and a caller's; and how the jobs of a kind, by its name, are told."""

    ours: Ours
    of: ContextFor
    told: Callable[[Kind, str], Kind] = lambda kind, _: kind


@dataclass(frozen=True, slots=True)
class Work:
    """What runs long work, and each kind of it that others speak to."""

    runner: Runner
    status: Status
    exporting: Exporting
    deferred: deferred.Deferred
    index: parameter_index.ParameterIndex
    reindexing: reindexing.Reindexing


def work(
    settings: Settings,
    store: Adapter,
    contexts: Contexts,
    uploaded: Uploaded,
    pixels: tuple[LocalArchive, InferenceProcess],
) -> Work:
    """Put the kinds of jobs together; `pixels` are where models find them, and where models run."""
    archive, process = pixels
    ours = contexts.ours
    exporting = Exporting(settings.data / "exports", files(settings, store, "exports"), ours)
    inference = Inference(process, lambda tenant: ArchiveSource(archive, tenant), ours)
    later = deferred.Deferred(files(settings, store, "requests"), store, contexts.of)
    index = parameter_index.ParameterIndex(store, uploaded, ours)
    reindex = reindexing.Reindexing(store, uploaded.extract, ours)
    kinds = {
        infer.KIND: contexts.told(Kind(inference.work, shown.given), "infer"),
        export.KIND: contexts.told(exporting.kind(), "export"),
        deferred.KIND: later.kind(),
        parameter_index.KIND: index.kind(),
        reindexing.KIND: reindex.kind(),
    }

    async def told(job: Job) -> None:
        await shown.show(ours(job.tenant), job)

    runner = Runner(store, kinds, told, now, name=server_name(settings.data))
    status = Status(kinds, shown.show, runner.wake)
    return Work(runner, status, exporting, later, index, reindex)
