"""A durable job and its states, shown as a FHIR Task (FHIR R4 async.html, task.html)."""

from typing import Any, Literal

import msgspec

from fhir_server.access import Access
from fhir_server.store.port import Documents

State = Literal["queued", "running", "completed", "failed", "cancelled"]
ENDED = frozenset({"completed", "failed", "cancelled"})
JOBS = "jobs"
QUEUE = "queue"
QUEUE_TENANT = "*"
"""The queue itself belongs to no tenant: its entries name the tenant of each job."""


class Owner(msgspec.Struct, frozen=True):
    """Who started a job; only they, or a caller without limits, see its status and its files."""

    subject: str
    client: str = ""
    patient: str | None = None


class Job(msgspec.Struct, frozen=True):
    """One job; instants in milliseconds since 1970 UTC; `progress` from 0 to 100.

    `input` is the kind's own; `output` too, once it is completed; `problem` says why it failed.
    """

    id: str
    tenant: str
    kind: str
    input: dict[str, Any]
    owner: Owner
    request: str
    created: int
    state: State = "queued"
    progress: int = 0
    attempts: int = 0
    output: dict[str, Any] = {}
    problem: str = ""
    started: int | None = None
    ended: int | None = None


class Queued(msgspec.Struct, frozen=True):
    """A job's place in the queue: whose it is, and until when a worker holds it."""

    tenant: str
    job: str
    kind: str
    worker: str = ""
    held_until: int = 0


def owner(access: Access) -> Owner:
    """Give the owner of what this caller starts."""
    return Owner(access.subject, access.client, access.patient)


def may_see(job: Job, access: Access) -> bool:
    """Tell whether a caller is the job's owner, or has unlimited access to Tasks."""
    return owner(access) == job.owner or any(
        g.patient is None and not g.query and g.covers("Task", "r") for g in access.grants
    )


async def enqueue(documents: Documents, job: Job) -> None:
    """Keep a new job and put it in the queue; it is durable when this returns."""
    await documents.put(job.tenant, JOBS, job.id, msgspec.json.encode(job))
    place = Queued(job.tenant, job.id, job.kind)
    key = f"{job.created:015d}-{job.id}"
    await documents.put(QUEUE_TENANT, QUEUE, key, msgspec.json.encode(place))


async def find(documents: Documents, tenant: str, id_: str) -> Job | None:
    """Give a job of a tenant, or None."""
    found = await documents.get(tenant, JOBS, id_)
    return msgspec.json.decode(found.value, type=Job) if found else None


async def keep(documents: Documents, job: Job) -> None:
    """Write a job's state durably."""
    await documents.put(job.tenant, JOBS, job.id, msgspec.json.encode(job))


async def request_cancel(documents: Documents, job: Job, now: int) -> Job:
    """Mark a job cancelled unless it has ended; a worker that runs it notices and stops."""
    if job.state in ENDED:
        return job
    cancelled = msgspec.structs.replace(job, state="cancelled", ended=now)
    await keep(documents, cancelled)
    return cancelled
