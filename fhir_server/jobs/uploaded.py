"""The search parameters that tenants uploaded, as every process knows them (FHIR R4 searchparameter.html).

Their records are documents. Each process reads them again every LOOK_S, so that after a few of those what
any process writes is indexed for a new parameter too. A record is never removed, so that it goes on telling
by which version it was decided, and every change of it is a compare-and-set.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from fhir_server.jobs.parameter_codes import Codes
from fhir_server.search.custom import TYPE, Uploads
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.parameters import Uploaded as InUse
from fhir_server.search.values import IndexValues
from fhir_server.store.port import (
    Change,
    Document,
    Documents,
    Extract,
    Key,
    MatchConflict,
    Precondition,
    Store,
    StoreUnavailable,
    Version,
)
from resources import definitions as r4
from resources.model import Resource, parse
from resources.outcome import Issue

LOOK_S = 0.5
_EVERY_TENANT = "*"
_RECORDS = "search-parameters"
_PAGE = 1000


class Record(msgspec.Struct, frozen=True):
    """What was decided of a SearchParameter by its version at a position of the feed.

    `task` is the job that indexes it, empty once it has, which came `since`, in milliseconds since 1970 UTC.
    One that is not `used` any more keeps what it was.
    """

    tenant: str
    id: str
    definition: r4.SearchParameter
    task: str = ""
    position: int = 0
    since: int = 0
    used: bool = True

    @property
    def key(self) -> str:
        """Give the key of the record's document."""
        return f"{self.tenant}/{self.id}"

    def dropped(self, position: int) -> "Record":
        """Give the record of a parameter that is used no more, as a position has it."""
        return replace(self, used=False, task="", position=position)


class Uploaded:
    """What is uploaded in every tenant; `generation` counts the changes that were seen."""

    def __init__(
        self, documents: Documents, definitions: r4.Definitions, shared: SearchParameters
    ) -> None:
        self._documents = documents
        self._definitions = definitions
        self._shared = shared
        self._seen: dict[str, Document] = {}
        self._records: dict[str, Record] = {}
        self._looking = asyncio.Lock()
        self._parameters: dict[str, SearchParameters] = {}
        self.rules = Uploads(definitions, shared)
        self.codes = Codes(self.rules, shared)
        self.generation = 0

    def of(self, tenant: str) -> SearchParameters:
        """Give a tenant's search parameters, R4's own included."""
        return self._parameters.get(tenant, self._shared)

    def usable(self, tenant: str) -> tuple[r4.SearchParameter, ...]:
        """Give the uploaded parameters of a tenant that are indexed."""
        return tuple(r.definition for r in self._of_tenant(tenant) if not r.task)

    def others(self, tenant: str, id_: str) -> tuple[r4.SearchParameter, ...]:
        """Give the uploaded parameters of a tenant apart from one."""
        return tuple(r.definition for r in self._of_tenant(tenant) if r.id != id_)

    def decided(self, tenant: str, id_: str) -> Record | None:
        """Give what was decided of a SearchParameter resource, None where it never was in use."""
        return self._records.get(f"{tenant}/{id_}")

    def record(self, tenant: str, id_: str) -> Record | None:
        """Give what is known of a SearchParameter resource, None where it is not in use."""
        record = self.decided(tenant, id_)
        return record if record is not None and record.used else None

    def rivals(self, record: Record) -> list[Record]:
        """Give the others in use that have the code of a record on one of its types."""
        return [
            other
            for other in self._of_tenant(record.tenant)
            if other.id != record.id and self.rules.same(record.definition, other.definition)
        ]

    def extract(self, key: Key, body: bytes) -> IndexValues:
        """Give the index values of a resource by its tenant's search parameters."""
        return self.of(key.tenant).values(parse(body))

    async def watch(self) -> None:
        """Read the records again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except StoreUnavailable:
                continue

    async def look(self) -> None:
        """Read the records, and take over what changed; of several looks each begins after the one before."""
        async with self._looking:
            seen: dict[str, Document] = {}
            records: dict[str, Record] = {}
            after = ""
            while page := await self._documents.list(
                _EVERY_TENANT, _RECORDS, after=after, limit=_PAGE
            ):
                for document in page:
                    seen[document.key] = document
                    if self._seen.get(document.key) == document:
                        records[document.key] = self._records[document.key]
                    else:
                        records[document.key] = msgspec.json.decode(document.value, type=Record)
                after = page[-1].key
            if seen != self._seen:
                self._take(seen, records)

    def _take(self, seen: dict[str, Document], records: dict[str, Record]) -> None:
        changed = records != self._records
        self._seen, self._records = seen, records
        if not changed:
            return
        by_tenant: dict[str, list[InUse]] = {}
        for record in records.values():
            if record.used:
                in_use = InUse(record.definition, record.task)
                by_tenant.setdefault(record.tenant, []).append(in_use)
        self._parameters = {
            tenant: SearchParameters(self._definitions, uploaded, self._shared)
            for tenant, uploaded in by_tenant.items()
        }
        self.generation += 1

    async def keep(self, record: Record, over: Record | None) -> bool:
        """Write a record where `over` is what was decided before (None: nothing); tells whether it was.

        What is there then is known here when this returns.
        """
        known = self._seen.get(record.key)
        if self._records.get(record.key) != over:
            return False
        written = await self._documents.put(
            _EVERY_TENANT,
            _RECORDS,
            record.key,
            msgspec.json.encode(record),
            revision=0 if known is None else known.revision,
        )
        await self.look()
        return written is not None

    async def ready(self, tenant: str, id_: str, task: str) -> bool:
        """Say that a parameter is indexed, unless another job is to do it by now; tells whether it was."""
        while True:
            await self.look()
            record = self.record(tenant, id_)
            if record is None or record.task != task:
                return False
            if await self.keep(replace(record, task=""), record):
                return True

    def _of_tenant(self, tenant: str) -> list[Record]:
        return [r for r in self._records.values() if r.tenant == tenant and r.used]


class Checked:
    """A tenant's validator: what the inner one finds, and what is wrong with an uploaded parameter."""

    def __init__(
        self, check: Callable[[Resource], tuple[Issue, ...]], uploaded: Uploaded, tenant: str
    ) -> None:
        self._check = check
        self._uploaded = uploaded
        self._tenant = tenant

    def check(self, resource: Resource) -> tuple[Issue, ...]:
        """Give the issues of a resource; of a code that another upload has only a warning.

        What is known here of other uploads may be old, or may be what the same Bundle changes: whether the
        code is free is judged within the commit (`Codes`).
        """
        issues = self._check(resource)
        if resource.get("resourceType") != TYPE or any(i.severity != "warning" for i in issues):
            return issues
        rules = self._uploaded.rules
        found = rules.issues(resource, ())
        if not found:
            others = self._uploaded.others(self._tenant, resource.get("id", ""))
            found = tuple(_taken(issue) for issue in rules.issues(resource, others))
        return (*issues, *found)


class Indexing:
    """A tenant's store: what was indexed before a parameter was known is indexed anew as it is committed.

    All but `commit` is the store's own.
    """

    def __init__(self, store: Store, uploaded: Uploaded, generation: int) -> None:
        self._store = store
        self._uploaded = uploaded
        self._generation = generation
        self.read = store.read
        self.read_many = store.read_many
        self.vread = store.vread
        self.deletions = store.deletions
        self.history = store.history
        self.search = store.search
        self.count = store.count
        self.changes = store.changes
        self.position = store.position
        self.explain = store.explain

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, with the values of the parameters that are known by now."""
        if self._generation != self._uploaded.generation:
            changes = [_anew(self._uploaded.extract, change) for change in changes]
        if any(change.key.type == TYPE for change in changes):
            return await self._with_codes(changes, preconditions)
        return await self._store.commit(changes, preconditions)

    async def _with_codes(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition]
    ) -> Sequence[Version]:
        """Commit search parameters, none of whose codes is another's by then; raises Unprocessable."""
        while True:
            guards = await self._uploaded.codes.guards(self._store, changes)
            try:
                return await self._store.commit(changes, (*preconditions, *guards))
            except MatchConflict as conflict:
                if conflict.index < len(preconditions):
                    raise


def _taken(issue: Issue) -> Issue:
    text = "Another search parameter of the same type has this code, or had it until just now"
    return replace(issue, severity="warning", diagnostics=text)


def _anew(extract: Extract, change: Change) -> Change:
    if change.body is None:
        return change
    return replace(change, values=extract(change.key, change.body.at(1, 0)))
