"""The demo day: who comes when, which step needs which, and the steps in their order."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from fhir_server.demo import bulk, findings, imaging, opening, orders, reporting, smart_app
from fhir_server.demo.patients import Case, cases
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
        self._add(step)

    def rest(self, names: Sequence[str]) -> None:
        """Tell of the steps that were not come to."""
        done = {step.name for step in self.steps}
        for name in names:
            if name not in done:
                self._add(unreached(name, f"{REGISTER} did not hold"))

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        self.tell(step)


@dataclass(frozen=True, slots=True)
class Server:
    """A server to play the day on: FHIR base, MLLP address, settings of its data folder."""

    base: str
    mllp: tuple[str, int]
    settings: Settings


async def play(server: Server, cache: Path, folder: Path, tell: Tell) -> Day:
    """Play the whole day; `cache` holds fetched images, `folder` takes the DICOM files made of them."""
    log, visits = Log(tell), cases()
    with Preparation(visits, cache, folder) as prepared:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as http:
            place = await _registered(log, http, server)
            stories = [Story(case, place, prepared) for case in visits] if place else []
            for story in stories:
                await _visit(log, story)
            if place:
                await _after(log, place, stories)
    log.rest(_names(visits))
    return Day.of(server.base, log.steps)


async def _registered(log: Log, http: httpx.AsyncClient, server: Server) -> Place | None:
    """Open the day; gives nothing where that did not hold."""
    found: list[Place] = []

    async def register(notes: Notes) -> None:
        found.append(await opening.opened(http, server.base, server.mllp, server.settings, notes))

    await log.do(REGISTER, (), register)
    return found[0] if found else None


async def _visit(log: Log, story: Story) -> None:
    """Play one visit from arrival to claim."""
    for name, need, act in VISIT:
        needs = _name(story.case, need) if need else REGISTER
        await log.do(_name(story.case, name), (needs,), partial(act, story))


async def _after(log: Log, place: Place, stories: Sequence[Story]) -> None:
    """Play what is of no single visit: an app for the first patient, and the export of everything."""
    mine, other, *_ = stories
    needs = [_name(story.case, "report") for story in (mine, other)]
    await log.do(SMART, needs, partial(smart_app.smart, mine, other))
    await log.do(EXPORT, (REGISTER,), partial(bulk.export, place))


def _names(visits: Sequence[Case]) -> list[str]:
    """Give the name of every step of the day."""
    of_visits = [_name(case, name) for case in visits for name, _, _ in VISIT]
    return [REGISTER, *of_visits, SMART, EXPORT]


def _name(case: Case, step: str) -> str:
    return f"{case.name}-{step}"
