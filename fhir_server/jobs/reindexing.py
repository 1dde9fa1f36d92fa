"""A reindex of what is stored, as a job that counts and goes on where it was stopped.

It is needed after an upgrade that finds resources by other values than before; no version is made. A server
that was upgraded so begins one by itself when it starts.
"""

import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec
from msgspec.structs import replace

from fhir_server import tenancy
from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import ENDED, JOBS, Job, Owner
from fhir_server.jobs.kind import Cancelled, Kind, Progress
from fhir_server.search import index_values
from fhir_server.search.expression import ALWAYS, Branch, Plan
from fhir_server.store.port import Care, Extract

KIND = "reindex"
_NAMESPACE = "reindex"
_INDEXED = "indexed"
_VERSION = str(index_values.VERSION).encode()
_STEP = 100
_TELL_S = 1.0
_JUST_NOW = 2_000
"""So many milliseconds after a job was begun all who know of it will have found it in the queue."""
_OURS = Owner("hounsfield")

Ours = Callable[[str], Context]


class Place(msgspec.Struct):
    """How far a reindex is: resources looked at and changed, and where to go on (None: at the end)."""

    seen: int = 0
    changed: int = 0
    after: int | None = 0


class Reindexing:
    """Gives every current resource of every tenant, or those of one type, its index values anew."""

    def __init__(self, care: Care, extract: Extract, ours: Ours) -> None:
        self._care = care
        self._extract = extract
        self._ours = ours

    def kind(self) -> Kind:
        """Give the kind of job as the runner and the status see it."""
        return Kind(work=self.work, given=shown.given)

    async def start(self, type_: str | None) -> Job:
        """Give the reindex of this type that has not ended, a new one where there is none.

        Of several servers that want one at once the first begins it.
        """
        context = self._ours(tenancy.DEFAULT)
        async for job in self._unended():
            if job.input["type"] == type_:
                return job
        job = await self._begun(type_)
        await shown.start(context, job)
        return job

    async def _begun(self, type_: str | None) -> Job:
        """Give the job that somebody began just now, if it has not ended; else a new one."""
        context = self._ours(tenancy.DEFAULT)
        services, key = context.services, f"begun {type_ or ''}"
        job = Job(
            id=services.new_id(),
            tenant=tenancy.DEFAULT,
            kind=KIND,
            input={"display": "Reindex", "type": type_, "told": [["type", type_ or "all types"]]},
            owner=_OURS,
            request=context.base,
            created=services.clock(),
        )
        documents, value = services.documents, msgspec.json.encode(job)
        put = partial(documents.put, tenancy.DEFAULT, _NAMESPACE, key, value)
        while True:
            found = await documents.get(tenancy.DEFAULT, _NAMESPACE, key)
            if found is not None:
                begun = msgspec.json.decode(found.value, type=Job)
                current = await jobs.find(documents, tenancy.DEFAULT, begun.id)
                if current is None or current.state not in ENDED:
                    return begun
            revision = 0 if found is None else found.revision
            if await put(expires=job.created + _JUST_NOW, revision=revision) is not None:
                return job

    async def catch_up(self) -> Job | None:
        """Begin a reindex where what is stored was indexed by another version; gives its job."""
        services = self._ours(tenancy.DEFAULT).services
        found = await services.documents.get(tenancy.DEFAULT, _NAMESPACE, _INDEXED)
        if found is not None and found.value == _VERSION:
            return None
        if await services.store.position() == 0:
            await self._caught_up()
            return None
        return await self.start(None)

    async def _caught_up(self) -> None:
        documents = self._ours(tenancy.DEFAULT).services.documents
        await documents.put(tenancy.DEFAULT, _NAMESPACE, _INDEXED, _VERSION)

    async def _unended(self) -> AsyncIterator[Job]:
        documents, after = self._ours(tenancy.DEFAULT).services.documents, ""
        while page := await documents.list(tenancy.DEFAULT, JOBS, after=after):
            for document in page:
                job = msgspec.json.decode(document.value, type=Job)
                if job.kind == KIND and job.state not in ENDED:
                    yield job
            after = page[-1].key

    async def work(self, job: Job, progress: Progress) -> dict[str, int]:
        """Reindex in steps, each durable with its place; gives how many were looked at and changed."""
        documents = self._ours(job.tenant).services.documents
        found = await documents.get(job.tenant, _NAMESPACE, job.id)
        place = msgspec.json.decode(found.value, type=Place) if found else Place()
        type_, told = job.input["type"], 0.0
        total = await self.total(type_)
        while place.after is not None:
            step = await self._care.reindex(
                self._extract, type=type_, after=place.after, limit=_STEP
            )
            place = Place(place.seen + step.seen, place.changed + step.changed, step.after)
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                value = msgspec.json.encode(place)
                await documents.put(job.tenant, _NAMESPACE, job.id, value)
                await self._tell(job, progress, place.seen, total)
        await self._tell(job, progress, place.seen, place.seen)
        await documents.delete(job.tenant, _NAMESPACE, job.id)
        if type_ is None:
            await self._caught_up()
        return {"seen": place.seen, "changed": place.changed}

    async def total(self, type_: str | None) -> int:
        """Count the current resources, of one type or of all, in every tenant."""
        services = self._ours(tenancy.DEFAULT).services
        types = (type_,) if type_ else tuple(sorted(services.definitions.resource_types))
        tenants, after = [tenancy.DEFAULT], ""
        while page := await services.documents.list(tenancy.DEFAULT, tenancy.TENANTS, after=after):
            tenants += [document.key for document in page]
            after = page[-1].key
        branches = tuple(Branch(one, ALWAYS) for one in types)
        return sum([await services.store.count(Plan(tenant, branches)) for tenant in tenants])

    async def _tell(self, job: Job, progress: Progress, done: int, total: int) -> None:
        """Say how far the job is, in its status and its Task; raises Cancelled where it was cancelled."""
        total = max(done, total)
        await progress(100 * done // total if total else 100)
        text = f"Reindexed {done} of {total}"

        def counted(current: Job) -> Job | None:
            if current.attempts != job.attempts or current.state != "running":
                return None
            return replace(current, input={**current.input, "progress": text})

        context = self._ours(job.tenant)
        if await jobs.amend(context.services.documents, job.tenant, job.id, counted) is None:
            raise Cancelled
        await shown.show(context, job)
