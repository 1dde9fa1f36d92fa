"""Interaction search at system, type and compartment level: https://hl7.org/fhir/R4/http.html#search"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from fhir_server.access import Grant
from fhir_server.context import Context
from fhir_server.interactions import include, query
from fhir_server.interactions.part import Part
from fhir_server.interactions.query import Asked, Place
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search import parse
from fhir_server.search.expression import Cursor
from fhir_server.store.port import Match, Version
from resources import bundle
from resources.bundle import Entry
from resources.model import serialise
from resources.outcome import operation_outcome

_SAFE = "/:|,$-_.~*"


async def search(context: Context, request: FhirRequest, place: Place) -> FhirResponse:
    """Give one page of the matches, with what _include adds, all under the caller's access."""
    asked = query.asked(context, request, place)
    if asked.query.summary == "count" or asked.query.count == 0:
        total = await context.services.store.count(asked.plan)
        return FhirResponse(200, bundle.searchset((), _links(context, asked, None), total))
    return await _page(context, asked)


async def _page(context: Context, asked: Asked) -> FhirResponse:
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
    asked: Asked,
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


def _limit(context: Context, parsed: parse.Query) -> int:
    policy = context.services.policy
    return min(parsed.count or policy.page_size, policy.page_limit)


def _bound(context: Context, asked: Asked) -> bytes:
    """Give what a cursor is bound to: tenant, caller's reach and search."""
    text = repr((context.tenant, asked.place.path, asked.used, _reach(context.access.grants)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@functools.lru_cache(1024)
def _reach(grants: tuple[Grant, ...]) -> str:
    """Give a caller's grants as text that is the same in every process."""
    return repr(sorted((g.type, sorted(g.letters), g.patient or "", g.query) for g in grants))


def _after(context: Context, asked: Asked) -> Cursor | None:
    token = asked.query.cursor
    if token is None:
        return None
    services = context.services
    return services.paging.cursor(token, _bound(context, asked), services.clock())


def _links(context: Context, asked: Asked, following: Match | None) -> list[bundle.Link]:
    url = f"{context.base}/{asked.place.path}".rstrip("/")
    text = "&".join(f"{quote(n, safe=_SAFE)}={quote(v, safe=_SAFE)}" for n, v in asked.used)
    links = [("self", f"{url}?{text}" if text else url)]
    if following is not None:
        cursor = Cursor(following.keys, following.place)
        services = context.services
        token = services.paging.token(cursor, _bound(context, asked), services.clock())
        links.append(
            ("next", f"{url}?{text}&_cursor={token}" if text else f"{url}?_cursor={token}")
        )
    return links


def _entry(context: Context, version: Version, mode: str, asked: Part) -> Entry:
    body = asked.of(context, version.body or b"")
    return Entry(f"{context.base}/{version.key.reference}", body, mode)


def _warned(asked: Asked) -> list[Entry]:
    if not asked.warnings:
        return []
    return [
        Entry("urn:hounsfield:outcome", serialise(operation_outcome(asked.warnings)), "outcome")
    ]
