"""Interaction search at type and compartment level: https://hl7.org/fhir/R4/http.html#search"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote

from fhir_server.access import Grant
from fhir_server.context import Context
from fhir_server.interactions import answer, include
from fhir_server.interactions.part import Part, part
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search import parse
from fhir_server.search.expression import And, Branch, Cursor, Expression, Plan
from fhir_server.search.plan import UnknownParameter
from fhir_server.store.port import Match, Version
from resources import bundle
from resources.bundle import Entry
from resources.model import serialise
from resources.outcome import (
    Invalid,
    Issue,
    NotFound,
    UnsupportedMediaType,
    operation_outcome,
)

_FORM = "application/x-www-form-urlencoded"
_SAFE = "/:|,$-_.~"


@dataclass(frozen=True, slots=True)
class Within:
    """A compartment that limits a search (Patient/1/Observation)."""

    type: str
    id: str


@dataclass(slots=True)
class _Asked:
    """What is really used of a query: criteria lowered, and warnings of what lenient handling left out."""

    place: str
    query: parse.Query
    used: list[tuple[str, str]]
    warnings: list[Issue]
    plan: Plan
    part: Part


async def search(
    context: Context, request: FhirRequest, type_: str, within: Within | None = None
) -> FhirResponse:
    """Give one page of the matches of a type, with what _include adds, under the caller's access."""
    known_type(context, type_)
    context.require(type_, "s")
    asked = _asked(context, request, type_, within)
    if asked.query.summary == "count" or asked.query.count == 0:
        total = await context.services.store.count(asked.plan)
        return FhirResponse(200, bundle.searchset((), _links(context, asked, None), total))
    return await _page(context, asked)


async def _page(context: Context, asked: _Asked) -> FhirResponse:
    services, limit = context.services, _limit(context, asked.query)
    after = _after(context, asked)
    found = await services.store.search(replace(asked.plan, limit=limit + 1, after=after))
    shown = found[:limit]
    following = shown[-1] if len(found) > limit else None
    entries = [_entry(context, match.version, "match", asked.part) for match in shown]
    if asked.query.inclusions:
        beside = await include.included(context, [m.version for m in shown], asked.query.inclusions)
        entries.extend(_entry(context, version, "include", asked.part) for version in beside)
    entries.extend(_warned(asked))
    total = await _total(context, asked, after, found, following)
    return FhirResponse(200, bundle.searchset(entries, _links(context, asked, following), total))


async def _total(
    context: Context,
    asked: _Asked,
    after: Cursor | None,
    found: Sequence[Match],
    following: Match | None,
) -> int | None:
    """Count exactly where asked to, or where the only page shows it anyway."""
    if after is None and following is None:
        return len(found)
    if asked.query.total in {"accurate", "estimate"}:
        return await context.services.store.count(asked.plan)
    return None


def _asked(context: Context, request: FhirRequest, type_: str, within: Within | None) -> _Asked:
    query = parse.parse(_local(context, _pairs(request)))
    lenient = answer.lenient(context, request)
    criteria, used, warnings = [], [], []
    for one in query.criteria:
        try:
            criteria.append(
                context.services.planner.expression(type_, one.criterion, context.access)
            )
        except UnknownParameter as unknown:
            if not lenient:
                raise
            warnings.append(Issue("warning", "not-supported", f"Ignored: {unknown}"))
            continue
        used.append((one.name, one.value))
    place = f"{within.type}/{within.id}/{type_}" if within else type_
    where = _where(context, type_, criteria, within)
    sort = context.services.planner.sort(type_, query.sort)
    plan = Plan(context.tenant, (Branch(type_, where),), sort)
    asked = part(context, query.controls, (type_,))
    return _Asked(place, query, used + query.controls, warnings, plan, asked)


def _where(
    context: Context, type_: str, criteria: Sequence[Expression], within: Within | None
) -> Expression:
    planner = context.services.planner
    parts = [*criteria, planner.allowed(type_, context.access, "s")]
    if within is not None:
        if context.services.definitions.compartments.get(within.type) is None:
            raise NotFound(f"{within.type} has no compartment", issue="not-supported")
        parts.append(planner.compartment(within.type, within.id, type_))
    return And(tuple(parts))


def _local(context: Context, pairs: parse.Pairs) -> list[tuple[str, str]]:
    """Make references that are written with our own base relative, as they are indexed."""
    ours = f"{context.base}/"
    return [(name, value.replace(ours, "") if ours in value else value) for name, value in pairs]


def _pairs(request: FhirRequest) -> tuple[tuple[str, str], ...]:
    """Give the query of the URL, and of the body for _search by POST."""
    if request.method != "POST":
        return request.query
    if request.headers.get("content-type", _FORM).partition(";")[0].strip().lower() != _FORM:
        raise UnsupportedMediaType(f"_search takes {_FORM}")
    try:
        form = parse_qsl(request.body.decode(), keep_blank_values=True)
    except ValueError:
        raise Invalid("The form is not UTF-8") from None
    return (*request.query, *form)


def _limit(context: Context, query: parse.Query) -> int:
    policy = context.services.policy
    return min(query.count or policy.page_size, policy.page_limit)


def _bound(context: Context, asked: _Asked) -> bytes:
    """Give what a cursor is bound to: tenant, caller's reach and search."""
    text = repr((context.tenant, asked.place, asked.used, _reach(context.access.grants)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@functools.lru_cache(1024)
def _reach(grants: tuple[Grant, ...]) -> str:
    """Give a caller's grants as text that is the same in every process."""
    return repr(sorted((g.type, sorted(g.letters), g.patient or "", g.query) for g in grants))


def _after(context: Context, asked: _Asked) -> Cursor | None:
    token = asked.query.cursor
    if token is None:
        return None
    services = context.services
    return services.paging.cursor(token, _bound(context, asked), services.clock())


def _links(context: Context, asked: _Asked, following: Match | None) -> list[bundle.Link]:
    url = f"{context.base}/{asked.place}"
    query = "&".join(f"{quote(n, safe=_SAFE)}={quote(v, safe=_SAFE)}" for n, v in asked.used)
    links = [("self", f"{url}?{query}" if query else url)]
    if following is not None:
        cursor = Cursor(following.keys, following.place)
        services = context.services
        token = services.paging.token(cursor, _bound(context, asked), services.clock())
        links.append(
            ("next", f"{url}?{query}&_cursor={token}" if query else f"{url}?_cursor={token}")
        )
    return links


def _entry(context: Context, version: Version, mode: str, asked: Part) -> Entry:
    body = asked.of(context, version.body or b"")
    return Entry(f"{context.base}/{version.key.reference}", body, mode)


def _warned(asked: _Asked) -> list[Entry]:
    if not asked.warnings:
        return []
    return [
        Entry("urn:hounsfield:outcome", serialise(operation_outcome(asked.warnings)), "outcome")
    ]
