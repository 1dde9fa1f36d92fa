"""What is written in resources: two FTS5 indexes without content, and a list of what is not in them yet.

`fulltext` has the words of narrative and content, `trigram` the letters of what :contains looks at. An FTS5
index costs 0.25 ms of CPU a transaction, whatever it holds, so a small transaction puts its texts on the list
`unindexed`, in the same commit; searches look at the list as well, and what it has of a resource goes before
the indexes. The writer empties it in steps of STEP, and of the rest when nobody writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import apsw

from fhir_server.search.expression import FullText
from fhir_server.search.values import IndexValues

STRAIGHT: Final = 64
"""So many texts of one transaction go into the indexes at once."""
STEP: Final = 256
"""So many that wait are put into the indexes by one transaction."""
SHORTEST: Final = 3
"""The length of what the trigram index can be asked for."""

_MERGED_PAGES: Final = 200
_STEPS: Final = 12
_REMEMBERED: Final = 1_024
_LIST: Final = (
    "INSERT OR REPLACE INTO unindexed(rid, place, narrative, content, texts) VALUES(?, ?, ?, ?, ?)"
)
_UNLIST: Final = "DELETE FROM unindexed WHERE rid IN (SELECT value FROM carray(?))"
_HELD: Final = "SELECT d.id FROM carray(?) a CROSS JOIN {}_docsize d ON d.id = a.value"
INDEXES: Final = ("fulltext", "trigram")


class Text(NamedTuple):
    """The text of one resource by its number; all empty for one that has none, or has it no longer."""

    rid: int
    place: str = ""
    narrative: str = ""
    content: str = ""
    texts: str = ""


def text(rid: int, collection: int, values: IndexValues) -> Text:
    """Give what is to be indexed of a resource; strings that nobody can ask for by trigrams are left out."""
    strings = dict.fromkeys(v.normal.replace("\0", "\n") for v in values.texts)
    long = [string for string in strings if len(string) >= SHORTEST]
    letters = "\n".join([*long, mark(collection)]) if long else ""
    return Text(rid, place(collection), values.narrative, values.content, letters)


@lru_cache(_REMEMBERED)
def place(collection: int) -> str:
    """Give the word that every text of a collection has."""
    return f"c{collection}"


@lru_cache(_REMEMBERED)
def mark(collection: int) -> str:
    """Give the three letters, for private use, that the strings of a collection have beside them."""
    return "".join(chr(0xF0000 + (collection >> _STEPS * n) % (1 << _STEPS)) for n in range(3))


def asked(node: FullText, collection: int) -> str:
    """Give an FTS5 query for words; they are letters and digits only, so that nothing needs an escape."""
    columns = "narrative" if node.part == "narrative" else "{narrative content}"
    star = " *" if node.prefix else ""
    return f'place : {place(collection)} AND {columns} : "{" ".join(node.words)}"{star}'


def trigrams(wanted: str, collection: int) -> str | None:
    """Give an FTS5 query for strings that contain a text, None if the index cannot be asked for it."""
    if len(wanted) < SHORTEST or "\0" in wanted:
        return None
    found = sorted({wanted[n : n + 3] for n in range(len(wanted) - 2)})
    quoted = ('"' + three.replace('"', '""') + '"' for three in (*found, mark(collection)))
    return " AND ".join(quoted)


class Texts:
    """Keeps the indexes and the list, within write transactions."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._gathered: dict[int, tuple[Text, bool]] = {}
        self.waiting = self._listed()

    def gather(self, text: Text, *, fresh: bool) -> None:
        """Gather the text of a resource; `fresh` if the resource had none before."""
        known = self._gathered.get(text.rid)
        self._gathered[text.rid] = text, fresh and (known is None or known[1])

    def forget(self) -> None:
        """Forget what is gathered, before a transaction or after a rollback."""
        self._gathered.clear()

    def flush(self) -> None:
        """Write what is gathered."""
        if len(self._gathered) >= STRAIGHT:
            new = [text for text, fresh in self._gathered.values() if fresh]
            renewed = [text for text, fresh in self._gathered.values() if not fresh]
            self._remove(one.rid for one in renewed)
            self._insert([*new, *renewed])
        elif self._gathered:
            self._connection.executemany(_LIST, [one for one, _ in self._gathered.values()])
            self.waiting += len(self._gathered)
        self._gathered.clear()

    def settle(self, limit: int = STEP, rid: int | None = None) -> int:
        """Put some of the list into the indexes, or one resource of it; gives how many are left about."""
        where = "" if rid is None else " WHERE rid = :rid"
        rows: list[Any] = self._connection.execute(
            f"SELECT rid, place, narrative, content, texts FROM unindexed{where}"
            " ORDER BY rid LIMIT :limit",
            {"rid": rid, "limit": limit},
        ).fetchall()
        found = [Text(*row) for row in rows]
        self._remove([one.rid for one in found])
        self._insert(found)
        if rid is None:
            self.waiting = self._listed()
        return self.waiting

    def condense(self, *, first: bool) -> bool:
        """Rewrite some pages of the indexes without what was removed from them; tells if there is more."""
        pages = -_MERGED_PAGES if first else _MERGED_PAGES
        more = False
        for index in INDEXES:
            before = self._connection.total_changes()
            self._connection.execute(
                f"INSERT INTO {index}({index}, rank) VALUES('merge', ?)", (pages,)
            )
            more |= self._connection.total_changes() - before > 1
        return more

    def _listed(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM unindexed").get)

    def _remove(self, rids: Iterable[int]) -> None:
        """Remove resources from indexes and list; most are new, and in no index yet."""
        gone = array("q", rids)
        if not gone:
            return
        run = self._connection.execute
        for index in INDEXES:
            held = run(_HELD.format(index), (apsw.carray(gone),)).fetchall()
            if held:
                self._connection.executemany(f"DELETE FROM {index} WHERE rowid = ?", held)
        run(_UNLIST, (apsw.carray(gone),))

    def _insert(self, texts: Sequence[Text]) -> None:
        words = [one[:4] for one in texts if one.narrative or one.content]
        letters = [(one.rid, one.texts) for one in texts if one.texts]
        if words:
            self._connection.executemany(
                "INSERT INTO fulltext(rowid, place, narrative, content) VALUES(?, ?, ?, ?)", words
            )
        if letters:
            self._connection.executemany("INSERT INTO trigram(rowid, texts) VALUES(?, ?)", letters)
