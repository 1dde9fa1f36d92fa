"""Any search, read or Bundle asked for with Prefer: respond-async, as a durable job (FHIR R4 async.html).

R4 leaves the answer of anything but a bulk export open; here it is the one that the next edition settled on
(https://hl7.org/fhir/R5/async-bundle.html): a batch-response Bundle whose one entry is the answer.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.access import Access, covers
from fhir_server.context import Context
from fhir_server.durable import sync_folder
from fhir_server.interactions import answer, entry
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind, Progress
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Documents
from resources import bundle
from resources.outcome import FhirError, Forbidden, Unprocessable

KIND = "request"
_PARALLEL = 2
_KEPT_HEADERS = (
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-exist",
    "if-none-match",
    "prefer",
)
_ASKED, _BEGUN, _ANSWER = "asked", "begun", "answer"
_PATH_SHOWN = 2
_YOUNG_S = 3600

ContextFor = Callable[[str, Access], Context]
"""Gives the context of a caller in a tenant."""


class Deferred:
    """Keeps requests, runs them later under the access that their callers had, gives their answers.

    What a request brought, and its answer, lie in a folder of its own under `folder`.
    """

    def __init__(self, folder: Path, documents: Documents, context_for: ContextFor) -> None:
        self._folder = folder
        self._documents = documents
        self._context_for = context_for

    def kind(self) -> Kind:
        """Give the kind of job as the runner and the status see it."""
        return Kind(work=self.work, given=self.given, forget=self.forget, parallel=_PARALLEL)

    async def defer(self, context: Context, request: FhirRequest) -> FhirResponse:
        """Keep a request durably and answer 202 with the place of its status."""
        services = context.services
        id_ = services.new_id()
        if request.body:
            place = self._place(context.tenant, id_) / _ASKED
            await asyncio.to_thread(_write, place, request.body)
        job = Job(
            id=id_,
            tenant=context.tenant,
            kind=KIND,
            input={
                "display": "Request answered later",
                "method": request.method,
                "path": request.path,
                "query": [list(pair) for pair in request.query],
                "headers": _headers(request),
                "access": msgspec.to_builtins(context.access),
                "told": [["request", _shown(request)]],
            },
            owner=jobs.owner(context.access),
            request=f"{context.base}/{request.path}",
            created=services.clock(),
            requester=context.access.fhir_user,
        )
        return await shown.start(context, job)

    async def work(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Run the request and keep its answer, whatever it is.

        A read may run again after a crash; a Bundle that was begun never does, as part of it may be written.
        A server that stops lets it come to its end.
        """
        place = self._place(job.tenant, job.id)
        if await asyncio.to_thread((place / _ANSWER).exists):
            return {}  # an earlier attempt came as far as this
        request = await asyncio.to_thread(self._request, job)
        if request.method == "POST" and not request.path.strip("/"):
            await self._begin(place, progress)
            await _to_its_end(asyncio.create_task(self._answer(job, request)))
        else:
            await self._answer(job, request)
        return {}

    async def _answer(self, job: Job, request: FhirRequest) -> None:
        context = self._context_for(job.tenant, msgspec.convert(job.input["access"], Access))
        try:
            response = await dispatch(context, request)
        except FhirError as error:
            response = answer.failed(error)
        body = bundle.response("batch-response", (entry.rendered(response),))
        await asyncio.to_thread(_write, self._place(job.tenant, job.id) / _ANSWER, body)

    async def given(self, context: Context, job: Job) -> FhirResponse:
        """Give the answer, to a token that covers what the request's own token did."""
        asked = msgspec.convert(job.input["access"], Access)
        if not covers(context.access, asked):
            raise Forbidden("This token covers less than the one that the request came with")
        file = self._place(job.tenant, job.id) / _ANSWER
        return FhirResponse(200, await asyncio.to_thread(file.read_bytes))

    async def forget(self, job: Job) -> None:
        """Remove what a request brought and its answer."""
        await asyncio.to_thread(_remove, self._place(job.tenant, job.id))

    async def sweep(self) -> None:
        """Remove the folders of requests whose jobs are no longer kept."""
        for place in await asyncio.to_thread(_old_folders, self._folder):
            if await jobs.find(self._documents, place.parent.name, place.name) is None:
                await asyncio.to_thread(_remove, place)

    def _place(self, tenant: str, id_: str) -> Path:
        return self._folder / tenant / id_

    def _request(self, job: Job) -> FhirRequest:
        kept = job.input
        file = self._place(job.tenant, job.id) / _ASKED
        return FhirRequest(
            kept["method"],
            kept["path"],
            tuple((name, value) for name, value in kept["query"]),
            kept["headers"],
            file.read_bytes() if file.exists() else b"",
        )

    async def _begin(self, place: Path, progress: Progress) -> None:
        """Pass the point of no return, or refuse if an earlier attempt passed it."""
        if await asyncio.to_thread((place / _BEGUN).exists):
            raise Unprocessable(
                "The server stopped while this Bundle was being carried out. What it had written by then "
                "stays: look at its resources before it is sent again",
                issue="incomplete",
            )
        await progress.settle()
        await asyncio.to_thread(_write, place / _BEGUN, b"")


def _headers(request: FhirRequest) -> dict[str, str]:
    """Give the headers that mean something to the interaction, without the wish to be answered later."""
    kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    wishes = [
        wish.strip()
        for wish in kept.pop("prefer", "").replace(";", ",").split(",")
        if wish.strip() and wish.strip() != answer.RESPOND_ASYNC
    ]
    return {**kept, "prefer": ", ".join(wishes)} if wishes else kept


def _shown(request: FhirRequest) -> str:
    """Tell a request in its Task, without the values that it holds."""
    parts = [part for part in request.path.split("/") if part]
    named = [part for part in parts[:_PATH_SHOWN] if part[0].isupper() or part[0] == "_"]
    return f"{request.method} {'/'.join(named)}".strip()


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Await a task that goes on where this one is cancelled; then the cancellation waits for it."""
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _old_folders(folder: Path) -> list[Path]:
    """Give the folders of requests that are too old for their job to be still on its way."""
    before = time.time() - _YOUNG_S
    return [place for place in folder.glob("*/*") if place.stat().st_mtime < before]


def _write(file: Path, content: bytes) -> None:
    """Write a file whole and durably, with its name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        sync_folder(folder)


def _remove(folder: Path) -> None:
    for file in folder.glob("*") if folder.is_dir() else ():
        file.unlink(missing_ok=True)
    if folder.is_dir():
        folder.rmdir()
