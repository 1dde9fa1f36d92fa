"""The mark of a page: all that a search needs to go on from it, as the parameter _cursor holds it."""

import functools
import hashlib
from collections.abc import Sequence

import msgspec

from fhir_server.access import Access, Grant
from fhir_server.context import Context
from fhir_server.search.expression import Cursor, SortKey
from fhir_server.search.parse import RENDERING
from resources.outcome import Gone, Invalid

_KEPT = "searches"
_LONGEST = 1_500
Pairs = Sequence[tuple[str, str]]


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: after `keys` and `place`, or before them with `back`; at an end without keys.

    `position` is that of the newest version when the search began. The search is either one that hashes to
    `search` or, where its URL is not to tell it, `query`; a long one is kept here under a name, `kept`.
    """

    position: int
    keys: tuple[SortKey, ...] | None = None
    place: int = 0
    back: bool = False
    search: bytes = b""
    query: tuple[tuple[str, str], ...] = ()
    kept: str = ""

    @property
    def cursor(self) -> Cursor | None:
        """The place that the page begins after, None for the first or last page."""
        return None if self.keys is None else Cursor(self.keys, self.place)


def token(context: Context, bound: bytes, mark: Mark) -> str:
    """Give the _cursor of a mark on a search, good only where `bound` is the same."""
    services = context.services
    return services.paging.seal(msgspec.msgpack.encode(mark), bound, services.clock())


def mark(context: Context, path: str, token: str) -> Mark:
    """Read a _cursor; raises Invalid for one that is not this caller's on this path, Gone for an old one."""
    services = context.services
    payload = services.paging.open(token, bound(context, path), services.clock())
    try:
        return msgspec.msgpack.decode(payload, type=Mark)
    except msgspec.DecodeError:
        raise Invalid("The page's cursor is not one of ours", issue="value") from None


async def keep(context: Context, used: Pairs) -> str:
    """Keep a search that is too long for a URL as long as its cursors are good, and give its name."""
    services, name = context.services, hashed(used).hex()
    expires = services.clock() + services.paging.lifetime
    value = msgspec.msgpack.encode(list(used))
    await services.documents.put(context.tenant, _KEPT, name, value, expires=expires)
    return name


async def query_of(context: Context, begun: Mark) -> Pairs:
    """Give the search that a mark holds, nothing if its URL tells it; raises Gone if it is kept no more."""
    if not begun.kept:
        return begun.query
    found = await context.services.documents.get(context.tenant, _KEPT, begun.kept)
    if found is None:
        raise Gone("The page's cursor has expired; begin the search again", issue="expired")
    return msgspec.msgpack.decode(found.value, type=list[tuple[str, str]])


def long(used: Pairs) -> bool:
    """Tell whether a search is too long to be a part of a URL."""
    return sum(len(name) + len(value) for name, value in used) > _LONGEST


def hashed(used: Pairs) -> bytes:
    """Give the hash of a search; the format that it is answered in is no part of it."""
    text = repr([pair for pair in used if pair[0] not in RENDERING])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def bound(context: Context, path: str) -> bytes:
    """Give what a cursor of a search below the base is bound to: tenant, caller's reach and place."""
    text = repr(("search", context.tenant, path, _reach(context.access)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@functools.lru_cache(1024)
def _reach(access: Access) -> str:
    """Give what a caller may reach as text that is the same in every process."""
    limits = None if access.within is None else _texts(access.within)
    withheld = sorted((w.patient, sorted(w.types), w.labels) for w in access.withheld)
    return repr((_texts(access.grants), limits, access.clearance, withheld))


def _texts(grants: tuple[Grant, ...]) -> Sequence[object]:
    return sorted((g.type, sorted(g.letters), g.patient or "", g.query, g.whose) for g in grants)
