"""A small server without HTTP: a store, interactions, operations, jobs, and a worker to start and stop."""

import asyncio
import contextlib
import json
import time
import uuid
from dataclasses import dataclass, field
from dataclasses import replace as with_
from urllib.parse import parse_qsl

from msgspec.structs import replace

import operations
from ai_observations import registry as models
from ai_observations.inference import Inference, InstalledModels
from ai_observations.process import InferenceProcess
from conformance.validate import Validator
from fhir_server import registry
from fhir_server.access import Access, Grant, everything
from fhir_server.context import Context, Policy, Services
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.interactions.profiles import TenantProfiles
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.kind import Kind
from fhir_server.jobs.runner import Runner
from fhir_server.jobs.status import PLACE, Status
from fhir_server.message import FhirRequest
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from fhir_server.store.files import FolderFiles
from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite.store import SqliteStore
from operations.bulk.exporting import Exporting
from operations.operation import Operation
from resources import definitions
from resources.outcome import FhirError

BASE = "http://test.example/fhir"
DEFINITIONS = definitions.load()
PARAMETERS = SearchParameters(DEFINITIONS)
VALIDATOR = Validator(DEFINITIONS)
STORES = ("memory", "sqlite")


class Clock:
    """Milliseconds since 1970 UTC, so much ahead of the real time."""

    def __init__(self):
        self.ahead = 0

    def __call__(self):
        return time.time_ns() // 1_000_000 + self.ahead


class Images:
    """DICOM files by Study Instance UID, as an image source."""

    def __init__(self):
        self.files = {}

    async def instances(self, study_uid, series_uid=None):
        for file in self.files.get(study_uid, ()):
            yield file


@dataclass
class World:
    """What a test holds: the context of a caller, the kinds of job, and the parts behind them."""

    context: Context
    clock: Clock
    kinds: dict
    runner: Runner
    exporting: Exporting
    process: InferenceProcess
    images: Images
    access: Access = field(default_factory=lambda: everything("test"))

    @property
    def documents(self):
        return self.context.services.documents

    @property
    def store(self):
        return self.context.services.store

    def as_(self, access):
        """Give the same world to another caller."""
        return with_(self, access=access, context=replace(self.context, access=access))

    async def call(self, method, url, body=None, **headers):
        """Call as an edge does, and give the response, an error's too."""
        path, _, query = url.removeprefix(BASE + "/").partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return await dispatch(self.context, FhirRequest(method, path, pairs, sent, raw))
        except FhirError as error:
            return answer.failed(error)

    async def give(self, method, url, body=None, **headers):
        """Call and give the parsed body, which must be a success."""
        response = await self.call(method, url, body, **headers)
        assert response.status < 300, response.body
        return json.loads(response.body) if response.body else None

    async def put(self, *resources):
        for resource in resources:
            await self.give("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    async def all(self, type_, query=""):
        """Give the current resources of a type."""
        bundle = await self.give("GET", f"{type_}?_count=1000&{query}".rstrip("&"))
        return [entry["resource"] for entry in bundle.get("entry", ())]

    async def versions(self, reference):
        """Give a resource's versions, oldest first."""
        bundle = await self.give("GET", f"{reference}/_history")
        return [entry.get("resource") for entry in reversed(bundle["entry"])]

    @contextlib.asynccontextmanager
    async def working(self):
        """Have the worker run."""
        running = asyncio.create_task(self.runner.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def job(self, id_):
        return await jobs.find(self.documents, "default", id_)

    async def until(self, id_, *states):
        """Wait for a job to be in one of the states, and give it."""

        async def reached():
            job = await self.job(id_)
            return job if job is not None and job.state in states else None

        return await eventually(reached)

    async def closed(self, id_):
        """Wait for a job to have ended and to have left the queue, and give it."""
        job = await self.until(id_, *jobs.ENDED)

        async def left():
            return not any(job.id in place.key for place in await self.places())

        await eventually(left)
        return job

    async def places(self):
        return await self.documents.list(jobs.QUEUE_TENANT, jobs.QUEUE)


async def eventually(found, seconds=60):
    """Ask until something is found, and give it."""
    async with asyncio.timeout(seconds):
        while not (answer := await found()):  # noqa: ASYNC110 - what is awaited is in a store
            await asyncio.sleep(0.005)
    return answer


def job_id(response):
    """Give the id of the job that a 202 names."""
    assert response.status == 202, response.body
    return response.headers["Content-Location"].rpartition("/")[2]


def limited(*grants, patient=None, user=None, subject="someone"):
    """Give an access of grants: (type, letters), in a patient's compartment if one is named."""
    made = tuple(Grant(type_, frozenset(letters), patient) for type_, letters in grants)
    return Access(subject, made, client="app", fhir_user=user, patient=patient)


def outcome_of(response):
    """Give status, issue code and text of an error."""
    issue = json.loads(response.body)["issue"][0]
    return response.status, issue["code"], issue["diagnostics"]


def _clinical(type_):
    atom = PARAMETERS.clinical(type_)
    return atom.name if atom else None


@contextlib.asynccontextmanager
async def opened(kind, folder, *, cache=None, claimed="report", **policy):
    """Give a world over a store of that kind, or over the database of MongoDB that a URL names."""
    clock, images = Clock(), Images()
    if kind == "memory":
        store = MemoryStore(clock=clock, clinical=_clinical)
    elif kind.startswith("mongodb://"):
        store = MongoStore(kind, clock=clock, clinical=_clinical)
    else:
        store = SqliteStore(folder / "store.sqlite", clock=clock, clinical=_clinical)
    await store.open()

    def ours(tenant):
        return replace(context, tenant=tenant, access=everything("ours"), keep_unchanged=True)

    async def told(job):
        await shown.show(ours(job.tenant), job)

    process = InferenceProcess(cache or models.default_cache())
    exporting = Exporting(folder / "exports", FolderFiles(folder / "exports"), ours)
    inference = Inference(process, lambda _: images, ours)
    kinds = {"infer": Kind(inference.work, shown.given), "export": exporting.kind()}
    runner = Runner(store, kinds, told, clock, name="test")
    status = Status(kinds, shown.show, runner.wake)
    declared = registry.discover(operations, Operation, "none")
    found = registry.discover(modifiers, Modifier, "none")
    services = Services(
        store=store,
        documents=store,
        definitions=DEFINITIONS,
        planner=Planner(
            PARAMETERS, {m.code: m for m in found}, DEFINITIONS.resource_types, bases=(BASE,)
        ),
        validator=VALIDATOR,
        paging=Paging(b"secret"),
        clock=clock,
        new_id=lambda: str(uuid.uuid4()),
        policy=Policy(**policy),
        operations={**{o.code: (o.route(),) for o in declared}, PLACE: (status.route(),)},
        models=InstalledModels(cache or models.default_cache()),
        profiles=TenantProfiles(claimed),
        wake=runner.wake,
    )
    context = Context("default", everything("test"), BASE, services)
    try:
        yield World(context, clock, kinds, runner, exporting, process, images)
    finally:
        await process.close()
        await store.close()
