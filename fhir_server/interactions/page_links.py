"""The links of a search: self, and from a page to the others (FHIR R4 http.html#paging)."""

from collections.abc import Sequence
from urllib.parse import quote

from fhir_server.context import Context
from fhir_server.interactions.mark import Mark, hashed, keep, long, token
from fhir_server.interactions.pinned import Found
from fhir_server.interactions.query import Asked
from fhir_server.search.parse import CURSOR
from fhir_server.store.port import Match
from resources.bundle import Link

_SAFE = "/:|,$-_.~*"


def alone(context: Context, asked: Asked) -> list[Link]:
    """Give the link of a result that has no pages."""
    return [("self", _url(context, asked))]


async def links(context: Context, asked: Asked, found: Found) -> list[Link]:
    """Give the links of a page, of which `found` is in the order that the page was looked for."""
    if asked.mark is None and not found.more:
        return alone(context, asked)
    if asked.hidden and long(asked.used):
        asked.kept = await keep(context, asked.used)
    mark = asked.mark or Mark(found.position)
    shown = found.matches[::-1] if mark.back else found.matches
    before, after = _edge(mark, shown[:1]), _edge(mark, shown[-1:])
    elsewhere = mark.keys is not None
    marks = {
        "next": _mark(asked, mark, after) if (elsewhere if mark.back else found.more) else None,
        "previous": (
            _mark(asked, mark, before, back=True)
            if (found.more if mark.back else elsewhere)
            else None
        ),
        "first": _mark(asked, mark, None) if asked.hidden else None,
        "last": _mark(asked, mark, None, back=True),
    }
    made = [("self", _url(context, asked, asked.query.cursor))]
    for relation, to in marks.items():
        if to is not None:
            made.append((relation, _url(context, asked, token(context, asked.place.path, to))))
        elif relation == "first":
            made.append((relation, _url(context, asked)))
    return made


def _edge(mark: Mark, edge: Sequence[Match]) -> Match | Mark:
    """Give where a page ends: at its outermost match, or where it began if it is empty."""
    return edge[0] if edge else mark


def _mark(asked: Asked, of: Mark, at: Match | Mark | None, *, back: bool = False) -> Mark:
    """Give the mark of a page after a place, or before it, at either end without one."""
    keys, place = (None, 0) if at is None else (at.keys, at.place)
    if asked.kept:
        return Mark(of.position, keys, place, back, kept=asked.kept)
    if asked.hidden:
        return Mark(of.position, keys, place, back, query=tuple(asked.used))
    return Mark(of.position, keys, place, back, search=hashed(asked.used))


def _url(context: Context, asked: Asked, cursor: str | None = None) -> str:
    """Give the URL of a page; of a search by POST the further ones have the cursor alone."""
    pairs = [] if asked.hidden and cursor is not None else list(asked.used)
    if cursor is not None:
        pairs.append((CURSOR, cursor))
    text = "&".join(f"{quote(n, safe=_SAFE)}={quote(v, safe=_SAFE)}" for n, v in pairs)
    url = f"{context.base}/{asked.place.path}".rstrip("/")
    return f"{url}?{text}" if text else url
