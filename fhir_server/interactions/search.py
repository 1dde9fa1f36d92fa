"""Interaction search at system, type and compartment level: https://hl7.org/fhir/R4/http.html#search"""

from collections.abc import Sequence

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions import explaining, include, page_links, pinned, query
from fhir_server.interactions.part import WHOLE, Part
from fhir_server.interactions.pinned import Found
from fhir_server.interactions.query import Asked, Place
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search import parse
from fhir_server.store.port import Version
from resources import bundle
from resources.bundle import Entry
from resources.model import serialise
from resources.outcome import Issue, operation_outcome

_CUT = Issue(
    "warning",
    "too-costly",
    "Not all that the inclusions lead to is here: there is more than one page holds",
)


async def search(context: Context, request: FhirRequest, place: Place) -> FhirResponse:
    """Give one page of the matches, with what _include adds, all under the caller's access."""
    asked = await query.asked(context, request, place)
    if asked.query.explain:
        explaining.permit(context.access)
    if asked.query.summary == "count" or asked.query.count == 0:
        return await _counted(context, asked)
    return await _page(context, asked)


async def _counted(context: Context, asked: Asked) -> FhirResponse:
    """Give the number of matches alone."""
    total = await context.services.store.count(asked.plan)
    told = await _told(context, asked)
    return FhirResponse(200, bundle.searchset(told, page_links.alone(context, asked), total))


async def _page(context: Context, asked: Asked) -> FhirResponse:
    found = await _found(context, asked)
    matches = found.matches[::-1] if asked.plan.backwards else found.matches
    seen = [match.version for match in matches]
    entries = _entries(context, seen, "match", asked.part)
    told = await _told(context, asked)
    if asked.inclusions:
        beside = await include.included(context, tuple(seen), asked.inclusions)
        seen.extend(beside.versions)
        entries += _entries(context, beside.versions, "include", asked.part)
        told += [_outcome((_CUT,))] if beside.cut else []
    total = await _total(context, asked, found)
    links = await page_links.links(context, asked, found)
    return FhirResponse(200, bundle.searchset(entries + told, links, total), seen=seen)


async def _found(context: Context, asked: Asked) -> Found:
    """Give the matches of the page, nearest to its cursor first."""
    begun, limit = asked.mark, _limit(context, asked.query)
    if begun is None:
        return await pinned.found(context, asked.plan, limit, None)
    asked.plan = replace(asked.plan, after=begun.cursor, backwards=begun.back)
    return await pinned.found(context, asked.plan, limit, begun.position)


async def _total(context: Context, asked: Asked, found: Found) -> int | None:
    """Count exactly where asked to, or where the only page shows it anyway."""
    if asked.mark is None and not found.more:
        return len(found.matches)
    if asked.query.total in {"accurate", "estimate"}:
        return await context.services.store.count(asked.plan)
    return None


def _limit(context: Context, parsed: parse.Query) -> int:
    policy = context.services.policy
    return min(parsed.count or policy.page_size, policy.page_limit)


async def _told(context: Context, asked: Asked) -> list[Entry]:
    """Give the outcome that tells what was ignored, and if it was asked for how the search is run."""
    issues = list(asked.warnings)
    if asked.query.explain:
        limit = _limit(context, asked.query) + 1
        issues += await explaining.explained(context, replace(asked.plan, limit=limit))
    return [_outcome(tuple(issues))] if issues else []


def _outcome(issues: tuple[Issue, ...]) -> Entry:
    return Entry("urn:hounsfield:outcome", serialise(operation_outcome(issues)), "outcome")


def _entries(context: Context, versions: Sequence[Version], mode: str, asked: Part) -> list[Entry]:
    """Give the entries of versions: the stored bytes as they are, where the whole was asked for."""
    base = context.base
    part = None if asked == WHOLE else asked
    return [
        Entry(
            f"{base}/{one.key.type}/{one.key.id}",
            (one.body or b"") if part is None else part.of(context, one.body or b""),
            mode,
        )
        for one in versions
    ]
