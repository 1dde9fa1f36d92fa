"""A durable job and its states, shown as a FHIR Task (FHIR R4 async.html, task.html).

A job is a document of its tenant; while it has not ended it also has a place in the queue. Every change of
a job is a compare-and-set on its document, so that a cancel, a progress and an end never undo each other.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from fhir_server.access import Access, Letter
from fhir_server.store.port import Documents

State = Literal["queued", "running", "completed", "failed", "cancelled"]
ENDED = frozenset({"completed", "failed", "cancelled"})
JOBS = "jobs"
QUEUE = "queue"
QUEUE_TENANT = "*"
"""The queue itself belongs to no tenant: its entries name the tenant of each job."""
KEPT = 24 * 3600 * 1000
"""How long a job and its files are kept after its end, in milliseconds."""


class Owner(msgspec.Struct, frozen=True):
    """Who started a job; only they, or a caller without limits, see its status and its files."""

    subject: str
    client: str = ""
    patient: str | None = None


class Job(msgspec.Struct, frozen=True):
    """One job; instants in milliseconds since 1970 UTC; `progress` from 0 to 100.

    `input` is the kind's own; `output` too, once it is completed; `problem` says why it failed, with the
    HTTP status `refusal`. `settled` is set once its results are being written, when it is too late to
    cancel. `requester` is the user who asked, as a reference.
    """

    id: str
    tenant: str
    kind: str
    input: dict[str, Any]
    owner: Owner
    request: str
    created: int
    requester: str | None = None
    state: State = "queued"
    progress: int = 0
    attempts: int = 0
    settled: bool = False
    output: dict[str, Any] = {}
    problem: str = ""
    refusal: int = 422
    started: int | None = None
    ended: int | None = None

    @property
    def place(self) -> str:
        """Give the key of the job's place in the queue, by which the queue is in order."""
        return f"{self.created:015d}-{self.id}"


class Queued(msgspec.Struct, frozen=True):
    """A job's place in the queue: whose it is, put there when, and until when which worker holds it."""

    tenant: str
    job: str
    kind: str
    created: int
    worker: str = ""
    held_until: int = 0


def owner(access: Access) -> Owner:
    """Give the owner of what this caller starts."""
    return Owner(access.subject, access.client, access.patient)


def may(job: Job, access: Access, letter: Letter) -> bool:
    """Tell whether a caller is the job's owner, or has unlimited access of that kind to Tasks."""
    return owner(access) == job.owner or access.granted("Task", letter)


async def enqueue(documents: Documents, job: Job, now: int | None = None) -> None:
    """Put a new job in the queue and keep it; it is durable, and will run, when this returns.

    The place comes first: one whose job never came is dropped by whoever finds it (`queue.py`), some time
    after `now`, by default when the job was created. Of several who start the same job the first one does.
    """
    place = Queued(job.tenant, job.id, job.kind, job.created if now is None else now)
    value = msgspec.json.encode(place)
    await documents.put(QUEUE_TENANT, QUEUE, job.place, value, revision=0)
    await documents.put(job.tenant, JOBS, job.id, msgspec.json.encode(job), revision=0)


async def find(documents: Documents, tenant: str, id_: str) -> Job | None:
    """Give a job of a tenant, or None."""
    found = await documents.get(tenant, JOBS, id_)
    return msgspec.json.decode(found.value, type=Job) if found else None


Change = Callable[[Job], Job | None]
"""Gives a job as it is to be, or None to leave it as it is."""


async def amend(documents: Documents, tenant: str, id_: str, change: Change) -> Job | None:
    """Change a job by compare-and-set; gives what was written, None if nothing was.

    A job that has ended expires after KEPT.
    """
    while True:
        document = await documents.get(tenant, JOBS, id_)
        if document is None:
            return None
        wanted = change(msgspec.json.decode(document.value, type=Job))
        if wanted is None:
            return None
        written = await documents.put(
            tenant,
            JOBS,
            id_,
            msgspec.json.encode(wanted),
            expires=None if wanted.ended is None else wanted.ended + KEPT,
            revision=document.revision,
        )
        if written is not None:
            return wanted


async def cancel(documents: Documents, job: Job, now: int) -> Job | None:
    """Cancel a job, and take its place in the queue if no worker had begun it; a worker that runs it stops.

    Gives the cancelled job, None where it has ended already, or writes its results at this moment.
    """
    queued = False

    def cancelled(current: Job) -> Job | None:
        nonlocal queued
        queued = current.state == "queued"
        if current.state in ENDED or current.settled:
            return None
        return replace(current, state="cancelled", ended=now)

    written = await amend(documents, job.tenant, job.id, cancelled)
    if written is not None and queued:
        await documents.delete(QUEUE_TENANT, QUEUE, job.place)
    return written


async def forget(documents: Documents, job: Job) -> None:
    """Remove a job for good."""
    await documents.delete(job.tenant, JOBS, job.id)
