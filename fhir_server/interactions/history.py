"""Interaction history at instance, type and system level: https://hl7.org/fhir/R4/http.html#history"""

from collections.abc import Container, Sequence
from urllib.parse import urlencode

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions import answer, reach
from fhir_server.interactions.part import NAMES, Part, one_of
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.expression import Cursor
from fhir_server.store.port import Key, Numbered, Page, Scope, Version, instant
from resources import bundle, datatypes
from resources.outcome import Forbidden, Invalid, NotFound, NotSupported

_KNOWN = frozenset({"_count", "_since", "_at", "_cursor", "_format", "_pretty", *NAMES})
_ONCE = frozenset({"_count", "_since", "_at", "_cursor"})
_AT_ONCE = 200
_STATUS = {"POST": "201", "PUT": "200", "PATCH": "200", "DELETE": "204"}


async def history(
    context: Context, request: FhirRequest, type_: str | None = None, id_: str | None = None
) -> FhirResponse:
    """Give versions newest first, a page at a time; each is in the caller's reach or absent."""
    await _may(context, type_, id_)
    shown_as = one_of(context, request, (type_,) if type_ else ())
    asked = shown_as.used(_asked(context, request))
    place = "/".join(part for part in (type_, id_, "_history") if part)
    page, since = _page(context, dict(asked), place)
    found = await _versions(context, Scope(context.tenant, type_, id_), page, since)
    shown, following = found[: page.limit - 1], len(found) == page.limit
    links = [("self", _url(context, place, asked))]
    if following and shown:
        rest = [pair for pair in asked if pair[0] != "_cursor"]
        further = ("_cursor", _next(context, shown[-1], place))
        links.append(("next", _url(context, place, [*rest, further])))
    seen = [version for version in shown if await reach.visible(context, version, "r")]
    created = await _created(context, seen, found)
    entries = [_entry(context, version, shown_as, created) for version in seen]
    total = len(entries) if page.before is None and not following else None
    return FhirResponse(200, bundle.history(entries, links, total), seen=seen)


async def _may(context: Context, type_: str | None, id_: str | None) -> None:
    """Refuse what the caller may not see; past versions have no plan, so limits allow instances alone."""
    if type_ is not None:
        known_type(context, type_)
        context.require(type_, "r")
    if type_ is None or id_ is None:
        if not context.access.granted(type_ or "*", "r"):
            raise Forbidden("The history of more than an instance needs a token without limits")
        return
    if await reach.current(context, answer.key(context, type_, id_), "r") is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")


def _asked(context: Context, request: FhirRequest) -> list[tuple[str, str]]:
    """Give the parameters that are used, as they were asked for, but _count as it is used."""
    asked: list[tuple[str, str]] = []
    for name, value in request.query:
        if name not in _KNOWN:
            if not answer.lenient(context, request):
                raise NotSupported(f"History takes no parameter {name}")
        elif name in _ONCE and any(name == known for known, _ in asked):
            raise Invalid(f"{name} is asked for twice", issue="value")
        else:
            asked.append((name, _count(context, value) if name == "_count" else value))
    return asked


def _count(context: Context, text: str) -> str:
    """Give how many versions a page has of those asked for; raises Invalid for what is no number above 0."""
    number = int(text.lstrip("0")[:9] or 0) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise Invalid(
            "_count takes a whole number above 0: versions are not counted", issue="value"
        )
    return str(min(number, context.services.policy.page_limit))


async def _versions(context: Context, scope: Scope, page: Page, since: int | None) -> list[Version]:
    """Give a page of versions; with `since`, only those that were current at or after that instant."""
    store, found, limit = context.services.store, list[Version](), page.limit
    if since is None:
        return list(await store.history(scope, page))
    page = replace(page, limit=max(limit, _AT_ONCE))
    judged: set[Key] = (
        set()
    )  # of each resource the newest before `since` may have been current, no older one
    while len(found) < limit:
        more = await store.history(scope, page)
        for version in more:
            if version.updated >= since:
                found.append(version)
            elif version.key not in judged:
                judged.add(version.key)
                if await _was_current(context, version, since):
                    found.append(version)
        if len(more) < page.limit:
            break
        page = replace(page, before=more[-1].position)
    return found[:limit]


async def _was_current(context: Context, version: Version, moment: int) -> bool:
    """Tell whether an older version was still the current one at a moment."""
    after = await context.services.store.vread(version.key, version.version_id + 1)
    return after is None or after.updated > moment


def _page(context: Context, asked: dict[str, str], place: str) -> tuple[Page, int | None]:
    services = context.services
    usual = min(services.policy.page_size, services.policy.page_limit)
    limit = int(asked.get("_count", usual)) + 1
    cursor = asked.get("_cursor")
    before = None
    if cursor is not None:
        before = services.paging.cursor(cursor, _bound(context, place), services.clock()).place
    since, until, current_since = _times(asked)
    return Page(limit, before, since, until), current_since


def _times(asked: dict[str, str]) -> tuple[int | None, int | None, int | None]:
    """Give since and until of the versions, and for _at since when they must have been current."""
    if "_at" in asked and "_since" in asked:
        raise Invalid("_at and _since are not asked for together")
    try:
        if "_at" in asked:
            low, high = datatypes.interval(asked["_at"])
            return None, high + 1, low
        since = datatypes.interval(asked["_since"])[0] if "_since" in asked else None
    except ValueError:
        raise Invalid("_since takes an instant, _at a date or an instant", issue="value") from None
    return since, None, None


def _bound(context: Context, place: str) -> bytes:
    return f"history\n{context.tenant}\n{place}".encode()


def _next(context: Context, last: Version, place: str) -> str:
    cursor = Cursor((), last.position)
    return context.services.paging.token(cursor, _bound(context, place), context.services.clock())


def _url(context: Context, place: str, asked: Sequence[tuple[str, str]]) -> str:
    query = urlencode(asked)
    return f"{context.base}/{place}" + (f"?{query}" if query else "")


async def _created(
    context: Context, seen: Sequence[Version], found: Sequence[Version]
) -> frozenset[Numbered]:
    """Give those versions that an update brought into being: after a deletion, as it was answered then.

    Most predecessors are on the page; the others are asked for at once. One that was purged is no deletion.
    """
    known = {(v.key, v.version_id): v.body is None for v in found}
    before = [(v.key, v.version_id - 1) for v in seen if v.method == "PUT" and v.version_id > 1]
    gone = {number for number in before if known.get(number)}
    beyond = [number for number in before if number not in known]
    if beyond:
        gone |= await context.services.store.deletions(beyond)
    return frozenset((key, version_id + 1) for key, version_id in gone)


def _entry(
    context: Context, version: Version, shown_as: Part, created: Container[Numbered]
) -> bytes:
    named = version.key.type if version.method == "POST" else version.key.reference
    request = {"method": version.method, "url": named}
    first = version.version_id == 1 or (version.key, version.version_id) in created
    status = "201" if first and version.body else _STATUS[version.method]
    response = {
        "status": status,
        "etag": f'W/"{version.version_id}"',
        "lastModified": instant(version.updated),
    }
    full_url = f"{context.base}/{version.key.reference}"
    body = version.body if version.body is None else shown_as.of(context, version.body)
    return bundle.history_entry(full_url, body, request, response)
