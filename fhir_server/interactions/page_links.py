"""The links of a search: self, and from a page to the others (FHIR R4 http.html#paging)."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from fhir_server.context import Context
from fhir_server.interactions.mark import Mark, bound, hashed, keep, long, token
from fhir_server.interactions.pinned import Found
from fhir_server.interactions.query import Asked
from fhir_server.search.parse import CURSOR
from fhir_server.store.port import Match
from resources.bundle import Link

_SAFE = "/:|,$-_.~*"
_PLAIN = re.compile(r"[A-Za-z0-9/:|,$\-_.~*]*", re.ASCII)
"""What `quote` leaves as it is: nearly all that is asked for."""


def alone(context: Context, asked: Asked) -> list[Link]:
    """Give the link of a result that has no pages."""
    return [("self", _url(context, asked))]


async def links(context: Context, asked: Asked, found: Found) -> list[Link]:
    """Give the links of a page, of which `found` is in the order that the page was looked for."""
    if asked.mark is None and not found.more:
        return alone(context, asked)
    if asked.hidden and long(asked.used):
        asked.kept = await keep(context, asked.used)
    first = _url(context, asked)
    further = _further(context, asked, first)
    cursor = asked.query.cursor
    made = [("self", first if cursor is None else f"{further}{_quoted(cursor)}")]
    path_bound = bound(context, asked.place.path)
    for relation, to in _marks(asked, found):
        if to is not None:
            made.append((relation, f"{further}{token(context, path_bound, to)}"))
        elif relation == "first":
            made.append((relation, first))
    return made


def _marks(asked: Asked, found: Found) -> list[tuple[str, Mark | None]]:
    """Give the marks of the other pages, None where there is none, or where the first needs none."""
    mark = asked.mark or Mark(found.position)
    shown = found.matches[::-1] if mark.back else found.matches
    before, after = _edge(mark, shown[:1]), _edge(mark, shown[-1:])
    elsewhere = mark.keys is not None
    follows, precedes = (elsewhere, found.more) if mark.back else (found.more, elsewhere)
    search = b"" if asked.hidden else hashed(asked.used)

    def to(at: Match | Mark | None, *, back: bool = False) -> Mark:
        keys, place = (None, 0) if at is None else (at.keys, at.place)
        query = tuple(asked.used) if asked.hidden and not asked.kept else ()
        return Mark(mark.position, keys, place, back, search, query, asked.kept)

    return [
        ("next", to(after) if follows else None),
        ("previous", to(before, back=True) if precedes else None),
        ("first", to(None) if asked.hidden else None),
        ("last", to(None, back=True)),
    ]


def _edge(mark: Mark, edge: Sequence[Match]) -> Match | Mark:
    """Give where a page ends: at its outermost match, or where it began if it is empty."""
    return edge[0] if edge else mark


def _url(context: Context, asked: Asked) -> str:
    """Give the URL of the first page."""
    text = "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in asked.used])
    url = f"{context.base}/{asked.place.path}".rstrip("/")
    return f"{url}?{text}" if text else url


def _further(context: Context, asked: Asked, first: str) -> str:
    """Give what the URL of a further page begins with; of a search by POST it has the cursor alone."""
    if asked.hidden:
        url = f"{context.base}/{asked.place.path}".rstrip("/")
        return f"{url}?{CURSOR}="
    return f"{first}{'&' if asked.used else '?'}{CURSOR}="


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe=_SAFE)
