"""The resources of one study's story, found by searches under the caller's access.

Order → ImagingStudy → Observations and pictures → DiagnosticReport → ChargeItem and Claim, as modelled
in docs; each search is bounded.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fhir_server.pages.reading import Reader
from resources.model import Resource

MOST = 100
_BOUND = ("_count", str(MOST))


@dataclass(slots=True)
class Story:
    """What belongs to one study; `beside` holds whom and what these refer to, by Type/id."""

    study: Resource
    patient: Resource | None = None
    orders: list[Resource] = field(default_factory=list)
    observations: list[Resource] = field(default_factory=list)
    documents: list[Resource] = field(default_factory=list)
    reports: list[Resource] = field(default_factory=list)
    charges: list[Resource] = field(default_factory=list)
    claims: list[Resource] = field(default_factory=list)
    tasks: list[Resource] = field(default_factory=list)
    beside: dict[str, Resource] = field(default_factory=dict)


async def gather(reader: Reader, study_id: str) -> Story:
    """Give the story of a study; raises FhirError where the study is not to be seen."""
    story = Story(await reader.read(f"ImagingStudy/{study_id}"))
    await asyncio.gather(
        _people_and_orders(reader, story),
        _observations(reader, story),
        _documents(reader, story),
        _charges(reader, story),
        _tasks(reader, story),
    )
    await _reports(reader, story)
    await _beside(reader, story)
    return story


def place(resource: Resource) -> str:
    """Give Type/id of a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


async def _people_and_orders(reader: Reader, story: Story) -> None:
    story.patient = await reader.follow(story.study.get("subject"))
    for element in story.study.get("basedOn", ())[:MOST]:
        if reader.path(element).startswith("ServiceRequest/") and (
            found := await reader.follow(element)
        ):
            story.orders.append(found)


async def _observations(reader: Reader, story: Story) -> None:
    found = await reader.search(
        "Observation",
        ("derived-from", place(story.study)),
        ("_include", "Observation:device"),
        ("_sort", "_lastUpdated"),
        _BOUND,
    )
    story.observations = found.matches
    story.beside |= found.beside


async def _documents(reader: Reader, story: Story) -> None:
    found = await reader.search("DocumentReference", ("related", place(story.study)), _BOUND)
    story.documents += found.matches


async def _charges(reader: Reader, story: Story) -> None:
    """Find what was charged for the study, and the claims that carry a charge's identifier."""
    found = await reader.search("ChargeItem", ("service", place(story.study)), _BOUND)
    story.charges = found.matches
    numbers = ",".join(
        f"{_escaped(each['system'])}|{_escaped(each['value'])}"
        for charge in story.charges
        for each in charge.get("identifier", ())
        if each.get("system") and each.get("value")
    )
    if numbers:
        story.claims = (await reader.search("Claim", ("identifier", numbers), _BOUND)).matches


def _escaped(text: str) -> str:
    """Write a value for a search parameter (FHIR R4 search.html#escaping)."""
    for sign in ("\\", "|", ",", "$"):
        text = text.replace(sign, f"\\{sign}")
    return text


async def _tasks(reader: Reader, story: Story) -> None:
    query = (("focus", place(story.study)), ("_sort", "-_lastUpdated"), _BOUND)
    story.tasks = (await reader.search("Task", *query)).matches


async def _reports(reader: Reader, story: Story) -> None:
    """Find reports over the study's results or orders that do not say that they are of another study."""
    found: dict[str, Resource] = {}
    for parameter, sources in (("result", story.observations), ("based-on", story.orders)):
        if sources:
            places = ",".join(place(each) for each in sources)
            query = ((parameter, places), ("_include", "DiagnosticReport:media"), _BOUND)
            page = await reader.search("DiagnosticReport", *query)
            found |= {place(each): each for each in page.matches if _of(reader, story, each)}
            story.beside |= page.beside
    story.reports = list(found.values())
    linked = {
        reader.path(media.get("link"))
        for report in story.reports
        for media in report.get("media", ())
    }
    story.documents += [story.beside[each] for each in sorted(linked) if each in story.beside]


def _of(reader: Reader, story: Story, report: Resource) -> bool:
    studies = [reader.path(each) for each in report.get("imagingStudy", ())]
    return not studies or place(story.study) in studies


async def _beside(reader: Reader, story: Story) -> None:
    """Read whom orders and reports name, each once."""
    wanted = {reader.path(element) for element in _named(story)} - {""} - story.beside.keys()
    for path in sorted(wanted)[:MOST]:
        if found := await reader.seen(path):
            story.beside[path] = found


def _named(story: Story) -> Iterable[Mapping[str, object]]:
    for order in story.orders:
        yield order.get("requester", {})
    for report in story.reports:
        yield from report.get("resultsInterpreter", ())
        yield from report.get("performer", ())
    for observation in story.observations:
        yield from observation.get("performer", ())
    for charge in story.charges:
        yield from (each.get("actor", {}) for each in charge.get("performer", ()))
    for claim in story.claims:
        yield claim.get("provider", {})
        yield from (each.get("coverage", {}) for each in claim.get("insurance", ()))
