"""Uploaded search parameters brought into use: followed in the change feed, indexed by a job that counts.

From the moment a parameter is known, what is written is indexed for it. The job waits until every process
knows it, then gives what was there before its values; only then can the parameter be searched by.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from msgspec.structs import replace

from fhir_server import tenancy
from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job, Owner
from fhir_server.jobs.kind import Kind, Progress
from fhir_server.jobs.uploaded import LOOK_S, Record, Uploaded
from fhir_server.search.custom import TYPE, definition
from fhir_server.search.expression import ALWAYS, Branch, Plan
from fhir_server.search.values import IndexValues
from fhir_server.store.port import Care, Documents, Key, Version
from resources.model import parse

KIND = "search-parameter"
GRACE_S = 4 * LOOK_S
"""How long a job waits until every process knows the parameter, and has written what it had begun."""
_FEEDS = "feeds"
_STEP = 100
_TELL_S = 1.0
_FOLLOWED = frozenset({TYPE})
_OURS = Owner("hounsfield")

Ours = Callable[[str], Context]


class Followed(Care, Protocol):
    """A store's care and its change feed, which need not give the contents of Binaries."""

    def changes(self, after: int, types: frozenset[str] | None = None) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`, of some types or all."""


class ParameterIndex:
    """Follows SearchParameter resources and indexes what they name."""

    def __init__(
        self, care: Followed, uploaded: Uploaded, ours: Ours, *, grace: float = GRACE_S
    ) -> None:
        self._care = care
        self._uploaded = uploaded
        self._ours = ours
        self._grace = grace

    def kind(self) -> Kind:
        """Give the kind of job as the runner and the status see it."""
        return Kind(work=self.work, given=shown.given)

    # --- following ---

    async def follow(self) -> None:
        """Follow the change feed until cancelled; goes on where the first of all that follow was."""
        found = await self._documents.get(tenancy.DEFAULT, _FEEDS, KIND)
        kept = int(found.value) if found else 0
        async for version in self._care.changes(kept, _FOLLOWED):
            if version.key.type == TYPE:
                await self.take(version)
            await self._reached(version.position)

    async def _reached(self, position: int) -> None:
        """Keep the position that was reached, unless another has come further."""
        while True:
            found = await self._documents.get(tenancy.DEFAULT, _FEEDS, KIND)
            if found is not None and int(found.value) >= position:
                return
            place, revision = str(position).encode(), found.revision if found else 0
            documents = self._documents
            if await documents.put(tenancy.DEFAULT, _FEEDS, KIND, place, revision=revision):
                return

    async def take(self, version: Version) -> None:
        """Bring the parameter that a version is of into use, or take it out of use, as it now is.

        All who follow do this, each in its own time: what counts is the current version, and what was decided
        by a later one stays.
        """
        key = version.key
        while True:
            await self._uploaded.look()
            found = await self._ours(key.tenant).services.store.read(key)
            current = max(version, found or version, key=lambda one: one.position)
            known = self._uploaded.decided(key.tenant, key.id)
            if known is not None and known.position >= current.position:
                record: Record | None = known
                break
            record = self._decision(current, known)
            if record is None or await self._decided(record, known):
                break
        if record is not None and record.task:
            await self._start(record)

    def _decision(self, version: Version, known: Record | None) -> Record | None:
        """Give the record that a version deserves, None where there is and was nothing to use."""
        resource = None if version.body is None else parse(version.body)
        if resource is None or not self._uploaded.rules.usable(resource):
            return None if known is None else known.dropped(version.position)
        wanted = definition(resource)
        if known is not None and known.used and known.definition == wanted:
            return replace(known, position=version.position)
        key, services = version.key, self._ours(version.key.tenant).services
        task, now = services.new_id(), services.clock()
        record = Record(key.tenant, key.id, wanted, task, version.position, now)
        later = any(r.position > record.position for r in self._uploaded.rivals(record))
        return record.dropped(record.position) if later else record

    async def _decided(self, record: Record, known: Record | None) -> bool:
        """Keep a decision made on what was known; False where another came first.

        Who has the code by an older version had to give it up before this one could have it.
        """
        for rival in self._uploaded.rivals(record) if record.used else ():
            older = rival.position < record.position
            if older and not await self._uploaded.keep(rival.dropped(rival.position), rival):
                return False
        return await self._uploaded.keep(record, known)

    async def _start(self, record: Record) -> None:
        """Start the job of a record, unless it was started before."""
        context = self._ours(record.tenant)
        if await jobs.find(self._documents, record.tenant, record.task) is not None:
            return
        job = Job(
            id=record.task,
            tenant=record.tenant,
            kind=KIND,
            input={
                "display": "Index a search parameter",
                "id": record.id,
                "focus": f"{TYPE}/{record.id}",
                "told": [["parameter", record.definition.code]],
            },
            owner=_OURS,
            request=f"{context.base}/{TYPE}/{record.id}",
            created=record.since or context.services.clock(),
        )
        await shown.start(context, job)

    @property
    def _documents(self) -> Documents:
        return self._ours(tenancy.DEFAULT).services.documents

    # --- the job ---

    async def work(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Give every resource of the parameter's types its values, telling how many have theirs."""
        await self._uploaded.look()
        record = self._uploaded.record(job.tenant, job.input["id"])
        if record is None or record.task != job.id:
            return {}  # it was changed or removed since, and has another job or none
        await asyncio.sleep(self._grace)
        types = self._uploaded.rules.types(record.definition)
        count = _Count(self, job, progress, await self._total(job.tenant, types))
        for type_ in types:
            after: int | None = 0
            while after is not None:
                step = await self._care.reindex(count.extract, type=type_, after=after, limit=_STEP)
                after = step.after
                await count.tell()
        await self._uploaded.ready(job.tenant, record.id, job.id)
        await count.tell(last=True)
        return {}

    async def _total(self, tenant: str, types: tuple[str, ...]) -> int:
        store = self._ours(tenant).services.store
        branches = tuple(Branch(type_, ALWAYS) for type_ in types)
        return await store.count(Plan(tenant, branches))

    def values(self, key: Key, body: bytes) -> IndexValues:
        """Give the values of a resource by all parameters of its tenant."""
        return self._uploaded.extract(key, body)

    async def show(self, job: Job, text: str) -> None:
        """Say in the Task of a job how far it is."""
        context = self._ours(job.tenant)

        def counted(current: Job) -> Job | None:
            if current.attempts != job.attempts or current.state != "running":
                return None
            return replace(current, input={**current.input, "progress": text})

        if await jobs.amend(context.services.documents, job.tenant, job.id, counted) is not None:
            await shown.show(context, job)


class _Count:
    """How many resources of the job's tenant are indexed, of how many."""

    def __init__(self, index: ParameterIndex, job: Job, progress: Progress, total: int) -> None:
        self._index = index
        self._job = job
        self._progress = progress
        self._total = total
        self._done = 0
        self._told = 0.0

    def extract(self, key: Key, body: bytes) -> IndexValues:
        """Give the values of one resource, and count it."""
        self._done += key.tenant == self._job.tenant
        return self._index.values(key, body)

    async def tell(self, *, last: bool = False) -> None:
        """Tell how far it is, every second and at the end; raises Cancelled where it was cancelled."""
        total = max(self._total, self._done)
        await self._progress(100 * self._done // total if total else 100)
        if last or time.monotonic() - self._told > _TELL_S:
            self._told = time.monotonic()
            await self._index.show(self._job, f"indexed {self._done} of {total}")
