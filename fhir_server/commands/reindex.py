"""hounsfield reindex: the index values of what is stored, built anew."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server.command import command, refused, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from fhir_server.installation import Installation
    from fhir_server.jobs.job import Job

_LOOK_S = 0.2


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--type", help="a resource type; all types otherwise")


@command(
    "reindex", "build the index of what is stored anew", takes="data store", configure=_arguments
)
def reindex(given: Namespace, settings: Settings) -> int:
    """Reindex, or go on with what was interrupted, and tell the counts; 1 if it failed."""
    from rich.console import Console
    from rich.progress import Progress

    async def work(house: "Installation") -> "Job | None":
        if given.type and given.type not in house.services.definitions.resource_types:
            return None
        with Progress(console=Console(stderr=True)) as bar:
            return await _run(house, given.type, bar)

    job = within(settings, work)
    if job is None:
        return refused(f"R4 has no resource type {given.type}")
    if job.state != "completed":
        return refused(job.problem or f"the reindex was {job.state}")
    print(f"Reindexed {job.output['seen']}, of which {job.output['changed']} changed")
    return 0


async def _run(house: "Installation", type_: str | None, bar: "Progress") -> "Job":
    """Start a job, work on it here (or see the server work on it) and give it when it has ended."""
    import asyncio

    from fhir_server.jobs import job as jobs
    from fhir_server.jobs import reindexing, shown
    from fhir_server.jobs.runner import Runner

    documents, kinds = house.services.documents, {reindexing.KIND: house.reindexing.kind()}

    async def told(job: "Job") -> None:
        await shown.show(house.ours(job.tenant), job)

    runner = Runner(documents, kinds, told, house.services.clock, name=reindexing.KIND)
    job = await house.reindexing.start(type_)
    shown_bar = bar.add_task("reindexing", total=100)
    running = asyncio.create_task(runner.run())
    try:
        while job.state not in jobs.ENDED:
            await asyncio.sleep(_LOOK_S)
            job = await jobs.find(documents, job.tenant, job.id) or job
            text = job.input.get("progress", "reindexing")
            bar.update(shown_bar, completed=job.progress, description=text)
    finally:
        running.cancel()
        await asyncio.wait({running})
    return job
