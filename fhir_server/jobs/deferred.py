"""Any search, read or Bundle asked for with Prefer: respond-async, as a durable job (FHIR R4 async.html).

R4 leaves the answer of anything but a bulk export open; here it is the one that the next edition settled on
(https://hl7.org/fhir/R5/async-bundle.html): a batch-response Bundle whose one entry is the answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from fhir_server.access import Access, covers
from fhir_server.context import Context
from fhir_server.interactions import answer, entry
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind, Progress
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.files import Files, Place
from fhir_server.store.port import Documents
from resources import bundle
from resources.outcome import FhirError, Forbidden, NotFound, Unprocessable

KIND = "request"
_PARALLEL = 2
_KEPT_HEADERS = (
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-exist",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
)
_ASKED, _BEGUN, _ANSWER = "asked", "begun", "answer"
_PATH_SHOWN = 2
_YOUNG_S = 3600

ContextFor = Callable[[str, Access], Context]
"""Gives the context of a caller in a tenant."""


class Deferred:
    """Keeps requests, runs them later under the access that their callers had, gives their answers.

    What a request brought, and its answer, lie in `files`.
    """

    def __init__(self, files: Files, documents: Documents, context_for: ContextFor) -> None:
        self._files = files
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
            await self._files.write(Place(context.tenant, id_, _ASKED), request.body)
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
        if await self._files.opened(_place(job, _ANSWER)) is not None:
            return {}  # an earlier attempt came as far as this
        request = await self._request(job)
        if request.method == "POST" and not request.path.strip("/"):
            await self._begin(job, progress)
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
        body = bundle.response("batch-response", (entry.rendered(response, request.method),))
        await self._files.write(_place(job, _ANSWER), body)

    async def given(self, context: Context, job: Job) -> FhirResponse:
        """Give the answer, to a token that covers what the request's own token did."""
        asked = msgspec.convert(job.input["access"], Access)
        if not covers(context.access, asked):
            raise Forbidden("This token covers less than the one that the request came with")
        body = await self._files.read(_place(job, _ANSWER))
        if body is None:
            raise NotFound("The answer is not kept any more")
        return FhirResponse(200, body)

    async def forget(self, job: Job) -> None:
        """Remove what a request brought and its answer."""
        await self._files.forget(job.tenant, job.id)

    async def sweep(self) -> None:
        """Remove the files of requests whose jobs are no longer kept, and are not just being made."""
        for tenant, id_ in await self._files.jobs(_YOUNG_S):
            if await jobs.find(self._documents, tenant, id_) is None:
                await self._files.forget(tenant, id_)

    async def _request(self, job: Job) -> FhirRequest:
        kept = job.input
        body = await self._files.read(_place(job, _ASKED))
        return FhirRequest(
            kept["method"],
            kept["path"],
            tuple((name, value) for name, value in kept["query"]),
            kept["headers"],
            body or b"",
        )

    async def _begin(self, job: Job, progress: Progress) -> None:
        """Pass the point of no return, or refuse if an earlier attempt passed it."""
        if await self._files.opened(_place(job, _BEGUN)) is not None:
            raise Unprocessable(
                "The server stopped while this Bundle was being carried out. What it had written by then "
                "stays: look at its resources before it is sent again",
                issue="incomplete",
            )
        await progress.settle()
        await self._files.write(_place(job, _BEGUN), b"")


def _place(job: Job, name: str) -> Place:
    return Place(job.tenant, job.id, name)


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
