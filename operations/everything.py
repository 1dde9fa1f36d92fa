"""Patient/$everything: one patient's record, page by page (FHIR R4 patient-operation-everything.html)."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from fhir_server.access import Access
from fhir_server.context import Context
from fhir_server.interactions import reach
from fhir_server.message import FhirResponse
from fhir_server.search.expression import (
    Branch,
    Cursor,
    DateRange,
    Expression,
    Missing,
    Not,
    Or,
    Plan,
    Updated,
    both,
)
from fhir_server.search.grants import WITHOUT_PATIENT_DATA
from fhir_server.search.values import MAX_INSTANT
from fhir_server.store.port import Key, Match, Version
from operations.operation import In, Out, operation
from resources import bundle, datatypes, reference
from resources.bundle import Entry
from resources.outcome import Invalid, NotFound

_PATIENT = "Patient"
_REFERENCE = re.compile(rb'"reference":"([A-Z][^"\\]+)"')
"""A literal reference in JSON as we write it, which is without white space."""
Asked = dict[str, str]


@operation(
    "everything",
    on=_PATIENT,
    level="instance",
    parameters=(
        In("start", "date", "Only what was going on at or after this day; the undated stays."),
        In("end", "date", "Only what was going on at or before this day; the undated stays."),
        In("_since", "instant", "Only what was last updated at or after this instant."),
        In("_type", "string", "Types to give, separated by commas.", max=None),
        In("_count", "positiveInt", "How many resources of the record a page has."),
        In("_cursor", "string", "Where a page begins: given by the link to it."),
        Out("return", "Bundle", "The record, with what it refers to that holds no patient's data."),
    ),
)
async def everything(  # noqa: PLR0913 - the operation's own parameters
    context: Context,
    key: Key,
    *,
    start: str | None = None,
    end: str | None = None,
    since: str | None = None,
    type: tuple[str, ...] = (),
    count: int | None = None,
    cursor: str | None = None,
) -> FhirResponse:
    """Give a patient's compartment as a searchset Bundle, each resource under the caller's access."""
    if await reach.current(context, key, "r") is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    types = _types(context, type)
    given = {"start": start, "end": end, "_since": since, "_type": ",".join(type) or None}
    asked = {name: value for name, value in given.items() if value is not None}
    limit = min(count or context.services.policy.page_limit, context.services.policy.page_limit)
    where = tuple(Branch(one, _where(context, key, one, asked)) for one in types)
    after = _after(context, key, asked, cursor)
    found = await context.services.store.search(
        Plan(context.tenant, where, limit=limit + 1, after=after)
    )
    shown = [match.version for match in found[:limit]]
    beside = await _beside(context, shown)
    entries = [_entry(context, one, "match") for one in shown]
    entries += [_entry(context, one, "include") for one in beside]
    more = found[limit - 1] if len(found) > limit else None
    if count is not None:
        asked["_count"] = str(count)
    links = _links(context, key, asked, more)
    total = len(shown) if more is None and after is None else None
    return FhirResponse(200, bundle.searchset(entries, links, total), seen=(*shown, *beside))


def _types(context: Context, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Give the types of the compartment that are asked for and that the caller may read."""
    members = {_PATIENT, *context.services.definitions.compartments[_PATIENT]}
    named = {name for text in asked for name in text.split(",") if name}
    if outside := named - members:
        raise Invalid(
            f"_type names {len(outside)} type(s) that are in no patient's compartment",
            issue="value",
        )
    readable = {one for one in named or members if context.access.grants_for(one, "r")}
    return tuple(sorted(readable))


def _where(context: Context, key: Key, type_: str, asked: Asked) -> Expression:
    planner = context.services.planner
    parts = [planner.compartment(_PATIENT, key.id, type_)]
    if not context.access.unlimited(type_, "r"):
        parts.append(planner.allowed(type_, context.access, "r"))
    if "start" in asked or "end" in asked:
        parts += _dates(context, type_, asked)
    if "_since" in asked:
        parts.append(Updated("ge", _interval(asked["_since"])[0], MAX_INSTANT))
    return both(parts) if len(parts) > 1 else parts[0]


def _dates(context: Context, type_: str, asked: Asked) -> Iterable[Expression]:
    """Give what the type's main date must satisfy: any overlap with the days asked for, or none."""
    atom = context.services.planner.parameters.clinical(type_)
    if atom is None or type_ == _PATIENT:
        return
    undated = Missing(atom.kind, (atom.name,))
    if "start" in asked:
        low, high = _interval(asked["start"])
        yield Or((undated, Not(DateRange(atom.name, "eb", low, high))))
    if "end" in asked:
        low, high = _interval(asked["end"])
        yield Or((undated, Not(DateRange(atom.name, "sa", low, high))))


def _interval(text: str) -> tuple[int, int]:
    try:
        return datatypes.interval(text)
    except ValueError:
        raise Invalid("start and end take a date, _since an instant", issue="value") from None


async def _beside(context: Context, shown: Sequence[Version]) -> list[Version]:
    """Give what the shown refer to that holds no patient's data: practitioners, organisations …"""
    wanted: dict[str, dict[str, None]] = {}
    written = (_REFERENCE.findall(version.body or b"") for version in shown)
    for text in dict.fromkeys(itertools.chain.from_iterable(written)):
        to = reference.parse(text.decode())
        if to.form == "local" and to.type in WITHOUT_PATIENT_DATA:
            wanted.setdefault(to.type, {})[to.id] = None
    found: list[Version] = []
    for type_, ids in wanted.items():
        if context.access.grants_for(type_, "r"):
            found.extend(await reach.by_id(context, type_, tuple(ids)))
    return found


def _entry(context: Context, version: Version, mode: str) -> Entry:
    return Entry(f"{context.base}/{version.key.reference}", version.body or b"", mode)


def _bound(context: Context, key: Key, asked: Asked) -> bytes:
    """Give what a cursor is bound to: tenant, patient, what was asked, and the caller's access."""
    access: Access = context.access
    named: Any = (key.tenant, key.id, sorted(asked.items()), access.subject, access.patient)
    return hashlib.blake2b(repr(named).encode(), digest_size=16).digest()


def _after(context: Context, key: Key, asked: Asked, cursor: str | None) -> Cursor | None:
    if cursor is None:
        return None
    services = context.services
    return services.paging.cursor(cursor, _bound(context, key, asked), services.clock())


def _links(context: Context, key: Key, asked: Asked, more: Match | None) -> list[bundle.Link]:
    url = f"{context.base}/{key.reference}/$everything"
    links = [("self", url + (f"?{urlencode(asked, safe=',:')}" if asked else ""))]
    if more is not None:
        plain = {name: value for name, value in asked.items() if name != "_count"}
        services = context.services
        token = services.paging.token(
            Cursor(more.keys, more.place), _bound(context, key, plain), services.clock()
        )
        links.append(("next", f"{url}?{urlencode({**asked, '_cursor': token}, safe=',:')}"))
    return links
