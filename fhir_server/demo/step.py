"""A step of the demo day: what is done, whether its own check held, how long it took, what it touched."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from msgspec import Struct

from fhir_server.hl7v2.mllp import NoAcknowledgement
from resources.model import serialise
from resources.outcome import FhirError

PROBLEM = "problem"


class NotHeld(AssertionError):
    """A step's check did not hold; the sentence says what was found instead."""


class Notes(Struct):
    """What a step tells while it runs: URLs written or read, facts as JSON values."""

    urls: list[str] = []
    facts: dict[str, Any] = {}

    def url(self, *urls: str) -> None:
        """Note URLs, each once."""
        self.urls += [url for url in dict.fromkeys(urls) if url not in self.urls]


class Step(Struct, frozen=True):
    """A step that was run or could not be reached; `seconds` is wall time."""

    name: str
    ok: bool
    seconds: float
    urls: list[str]
    facts: dict[str, Any]


class Day(Struct, frozen=True):
    """The whole day against one server, as `--json` prints it; `ok` only if every step held."""

    ok: bool
    base: str
    steps: list[Step]

    @classmethod
    def of(cls, base: str, steps: list[Step]) -> "Day":
        """Judge the steps; a day without any did not hold."""
        return cls(bool(steps) and all(step.ok for step in steps), base, steps)

    def json(self) -> bytes:
        """Give the one object of `--json`, without line breaks."""
        return serialise(self)


Act = Callable[[Notes], Awaitable[None]]
"""Does a step and checks it; raises NotHeld, or what the way to the server raises."""

FAULTS = (NotHeld, FhirError, NoAcknowledgement, httpx.HTTPError, OSError, LookupError, ValueError)
"""What fails a step and lets the day go on; anything else is a fault of the demo itself."""


def require(holds: object, claim: str) -> None:
    """Raise NotHeld with the claim unless it holds."""
    if not holds:
        raise NotHeld(claim)


async def run(name: str, act: Act) -> Step:
    """Run a step and give how it went; what fails it is told under the fact `problem`."""
    notes, began = Notes(), time.perf_counter()
    try:
        await act(notes)
        ok = True
    except FAULTS as fault:
        ok = False
        notes.facts[PROBLEM] = f"{type(fault).__name__}: {fault}"
    seconds = round(time.perf_counter() - began, 3)
    return Step(name, ok, seconds, notes.urls, notes.facts)


def unreached(name: str, because: str) -> Step:
    """Give a step that was not tried because one before it did not hold."""
    return Step(name, ok=False, seconds=0.0, urls=[], facts={PROBLEM: f"not tried: {because}"})
