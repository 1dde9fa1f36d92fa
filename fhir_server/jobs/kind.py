"""A kind of job: what does its work, what answers for it once it is completed, what tidies up after it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fhir_server.context import Context
from fhir_server.jobs.job import Job
from fhir_server.message import FhirResponse


class Cancelled(Exception):
    """The job is not this worker's any more: it was cancelled, or another worker took it over."""


class Progress(Protocol):
    """What work tells of itself while it runs."""

    async def __call__(self, percent: int) -> None:
        """Keep how far the job is, 0 to 100; raises Cancelled where it was cancelled meanwhile."""

    async def settle(self) -> None:
        """Pass the point after which the job cannot be cancelled: results come now; raises Cancelled."""


Work = Callable[[Job, Progress], Awaitable[dict[str, Any]]]
"""Does a job and gives its output; may run again after a crash, so it must not double what it wrote."""
Given = Callable[[Context, Job], Awaitable[FhirResponse]]
"""Gives the answer of a completed job, to a caller that may see it."""
File = Callable[[Context, Job, str], Awaitable[FhirResponse]]
"""Gives one file of a completed job."""
Forget = Callable[[Job], Awaitable[None]]
"""Removes what a job keeps outside the store: it failed, was cancelled, or is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job: its work, its answer, its files if it has any, and how many run at once."""

    work: Work
    given: Given
    file: File | None = None
    forget: Forget | None = None
    parallel: int = 1
