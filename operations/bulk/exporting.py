"""The work of an export job, its manifest and its files (Bulk Data Access 2.0)."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.access import Access
from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs import status
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind, Progress
from fhir_server.message import FhirResponse, Pieces
from fhir_server.store.files import Files, Place
from fhir_server.store.port import instant
from operations.bulk import snapshot
from operations.bulk.ndjson import Ndjson
from operations.bulk.snapshot import Asked
from resources.outcome import Forbidden, NotFound

NDJSON = "application/fhir+ndjson"


class Exporting:
    """Writes and gives the files of export jobs: they are made under `folder`, then kept in `files`."""

    def __init__(self, folder: Path, files: Files, ours: Callable[[str], Context]) -> None:
        self._folder = folder
        self._files = files
        self._ours = ours

    def kind(self) -> Kind:
        """Give what the job runner and the status URL need of it."""
        return Kind(self.work, self.manifest, self.file, self.forget)

    async def work(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Write a file for each type that has resources; gives the counts by type, and the instant.

        The instant is just before the job's last start was stored, so all that was stored up to it is there.
        """
        context, types = self._ours(job.tenant), job.input["types"]
        access = msgspec.convert(job.input["access"], Access)
        await self._files.forget(job.tenant, job.id)
        await asyncio.to_thread(self._fresh, job)
        at = (job.started or job.created) - 1
        counts: dict[str, int] = {}
        for done, type_ in enumerate(types):
            await progress(100 * done // len(types))
            since, of_patients = job.input["since"], job.input["of_patients"]
            asked = Asked(job.tenant, type_, at, since, of_patients, access)
            place = Place(job.tenant, job.id, f"{type_}.ndjson")
            path = self._made(job) / place.name
            count = await self._write(context, asked, path)
            if count:
                await self._files.keep(place, path)
                counts[type_] = count
        return {"counts": counts, "time": instant(at)}

    async def _write(self, context: Context, asked: Asked, path: Path) -> int:
        """Write one type, whole or not at all; gives how many resources it has."""
        file = await asyncio.to_thread(Ndjson, path)
        try:
            async for bodies in snapshot.pages(context, asked):
                await asyncio.to_thread(file.append, bodies)
            changed = await snapshot.changed(context, asked)
            if changed:
                changed -= await asyncio.to_thread(file.ids, changed)
            async for body in snapshot.then(context, asked, changed):
                await asyncio.to_thread(file.append, [body])
            await asyncio.to_thread(file.seal)
        finally:
            file.close()
        return file.count

    async def manifest(self, context: Context, job: Job) -> FhirResponse:
        """Answer the poll of a completed export (Bulk Data Access: complete status)."""
        counts = job.output["counts"]
        for type_ in counts:
            _refuse_narrower(context, type_)
        place = f"{context.base}/{status.PLACE}/{job.id}"
        return status.json_answer(
            {
                "transactionTime": job.output["time"],
                "request": job.request,
                "requiresAccessToken": True,
                "output": [
                    {"type": type_, "url": f"{place}/{type_}.ndjson", "count": count}
                    for type_, count in sorted(counts.items())
                ],
                "error": [],
            }
        )

    async def file(self, context: Context, job: Job, name: str) -> FhirResponse:
        """Give one file, to a caller whose token still allows its type."""
        type_ = name.removesuffix(".ndjson")
        if type_ not in job.output["counts"] or name != f"{type_}.ndjson":
            raise NotFound("The export has no such file")
        _refuse_narrower(context, type_)
        opened = await self._files.opened(Place(job.tenant, job.id, name))
        if opened is None:
            raise NotFound("The file of the export is not kept any more")
        return FhirResponse(200, media_type=NDJSON, pieces=Pieces(*opened))

    async def forget(self, job: Job) -> None:
        """Remove the files of a job."""
        await self._files.forget(job.tenant, job.id)
        await asyncio.to_thread(_removed, self._made(job))

    async def sweep(self) -> int:
        """Remove the files of jobs that have expired, failed or were cancelled; gives of how many."""
        swept = 0
        for tenant, id_ in {*await self._files.jobs(0), *await asyncio.to_thread(self._making)}:
            documents = self._ours(tenant).services.documents
            job = await jobs.find(documents, tenant, id_)
            if job is None or job.state in {"failed", "cancelled"}:
                await self._files.forget(tenant, id_)
                await asyncio.to_thread(_removed, self._folder / tenant / id_)
                swept += 1
        return swept

    def _made(self, job: Job) -> Path:
        return self._folder / job.tenant / job.id

    def _making(self) -> list[tuple[str, str]]:
        found = [path for path in self._folder.glob("*/*") if path.is_dir()]
        return [(path.parent.name, path.name) for path in found]

    def _fresh(self, job: Job) -> None:
        """Make the folder of a job, without what an earlier attempt left there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _removed(self._made(job))
        self._made(job).mkdir(parents=True)


def _refuse_narrower(context: Context, type_: str) -> None:
    if not context.access.granted(type_, "r"):
        raise Forbidden(f"The token does not cover {type_}, which the export holds")


def _removed(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
