"""The demo day: who comes when, which step needs which, and the steps in their order."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from fhir_server.demo import bulk, findings, imaging, opening, orders, reporting, smart_app
from fhir_server.demo.accounts import Accounts
from fhir_server.demo.patients import cases
from fhir_server.demo.preparation import Preparation
from fhir_server.demo.step import Act, Day, Notes, Step, run, unreached
from fhir_server.demo.story import Place, Story
from fhir_server.settings import Settings

REGISTER = "register"
SMART = "smart"
EXPORT = "export"

VISIT: Sequence[tuple[str, str, Callable[[Story, Notes], Awaitable[None]]]] = (
    ("admit", "", orders.admit),
    ("order", "admit", orders.order),
    ("resend", "order", orders.resend),
    ("store", "order", imaging.store),
    ("query", "store", imaging.query),
    ("infer", "store", imaging.infer),
    ("findings", "infer", findings.findings),
    ("report", "findings", reporting.report),
    ("charge", "report", reporting.charge),
)
"""The steps of each visit: name, the step before it that must have held, what is done."""

_TIMEOUT_S = 120.0

Tell = Callable[[Step], None]
"""Is told of each step as it ends."""


@dataclass(slots=True)
class Log:
    """The steps that were run, in their order."""

    tell: Tell
    steps: list[Step] = field(default_factory=list)

    async def do(self, name: str, needs: Sequence[str], act: Act) -> None:
        """Run a step, unless one that it needs did not hold."""
        held = {step.name for step in self.steps if step.ok}
        missing = [need for need in needs if need not in held]
        step = unreached(name, f"{missing[0]} did not hold") if missing else await run(name, act)
        self.steps.append(step)
        self.tell(step)


@dataclass(slots=True)
class Server:
    """A server to play the day on: FHIR base, MLLP address, settings of its data folder."""

    base: str
    mllp: tuple[str, int]
    settings: Settings


async def play(server: Server, cache: Path, folder: Path, tell: Tell) -> Day:
    """Play the whole day; `cache` holds fetched images, `folder` takes the DICOM files made of them."""
    log = Log(tell)
    visits = cases()
    with Preparation(visits, cache, folder) as prepared:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as http:
            parts = _Parts(http, server, cache)
            await log.do(REGISTER, (), parts.register)
            stories = [Story(case, prepared) for case in visits]
            for story in stories:
                await _visit(log, story, parts)
            await _after(log, stories, parts)
    return Day.of(server.base, log.steps)


class _Parts:
    """Who takes part, known once they are registered."""

    def __init__(self, http: httpx.AsyncClient, server: Server, cache: Path) -> None:
        self._http = http
        self._server = server
        self._cache = cache
        self.place: Place | None = None
        self.accounts: Accounts | None = None

    async def register(self, notes: Notes) -> None:
        """Register clients and radiologist, and log each of them in."""
        server = self._server
        self.place, self.accounts = await opening.opened(
            self._http, server.base, server.settings, self._cache, notes
        )
