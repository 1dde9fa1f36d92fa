"""What one connection can answer: versions, searches, counts, histories."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, TypeVar

import apsw

from fhir_server.search.breadth import exceeds
from fhir_server.search.expression import Plan, SortKey
from fhir_server.search.limits import AT_ONCE
from fhir_server.search.match import Clinical
from fhir_server.store.port import PLACES, Key, Match, Numbered, Page, Scope, Version
from fhir_server.store.sqlite.candidates import Bindings
from fhir_server.store.sqlite.compile import (
    LARGEST_PAGE,
    Collections,
    Compiler,
    How,
    Query,
    goes_straight,
)
from fhir_server.store.sqlite.keys import Hashes
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.page_keys import keys_of
from resources.outcome import TooCostly

_T = TypeVar("_T")
_STEPS: Final = 10_000
MOST_S: Final = 30.0
"""How long one search may take, in seconds, before it is too costly."""
_STRAIGHT: Final = 0
"""The budget of a search that goes straight ahead: what it wastes at worst before it looks about."""
_READ: Final = (
    "SELECT id, version, updated, method, body, position, collection, rid FROM resource"
    " WHERE target = ?"
)
_AT_ONCE: Final = 50
_READ_MANY: Final = (
    "SELECT collection, id, version, updated, method, body, position FROM resource"
    f" WHERE target IN ({', '.join('?' * _AT_ONCE)}) AND alive"
)
_VREAD: Final = (
    "SELECT version, updated, method, body, position FROM history WHERE rid = ? AND version = ?"
)
_ENDED: Final = (
    "SELECT 1 FROM resource r CROSS JOIN history h ON h.rid = r.rid"
    " WHERE r.target = ? AND h.version = ? AND h.body IS NULL"
)
_FEED: Final = (
    "SELECT c.collection, r.id, c.version, c.updated, coalesce(h.method, r.method),"
    " CASE WHEN h.position IS NULL THEN r.body ELSE h.body END, c.position"
    " FROM change c CROSS JOIN resource r ON r.rid = c.rid LEFT JOIN history h ON h.position = c.position"
)
_INSTANCE: Final = (
    "SELECT version, updated, method, body, position FROM"
    " (SELECT version, updated, method, body, position FROM resource WHERE rid = :rid UNION ALL"
    " SELECT version, updated, method, body, position FROM history WHERE rid = :rid)"
    " WHERE position < :before AND updated >= :since AND updated < :until"
    " ORDER BY position DESC LIMIT :limit"
)
_NEVER: Final = 2**63 - 1
_FED: Final = 200
_FED_OF_SOME: Final = 10
"""Fewer, as each may be found behind thousands of changes that are passed over."""


class OverBudget(Exception):
    """A statement took more steps than it was allowed."""


class Budget:
    """The steps that statements of a connection may take, in units of ten thousand; None is no limit.

    `until` is when they must have ended, by the monotonic clock.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self.left: int | None = None
        self.until: float | None = None
        connection.set_progress_handler(self._spend, _STEPS)

    def _spend(self) -> bool:
        if self.until is not None and time.monotonic() > self.until:
            return True
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0


class Counter:
    """Counts, for a while, what statements of a connection call `seen` with."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.count = 0
        self._connection = connection

    def __enter__(self) -> Self:
        self._connection.create_scalar_function("seen", self._seen, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.create_scalar_function("seen", None, 1)

    def _seen(self, *_rid: Any) -> int:
        self.count += 1
        return 1


class Reader:
    """Reads through one connection; not to be used by two threads at once."""

    def __init__(self, connection: apsw.Connection, hashes: Hashes, clinical: Clinical) -> None:
        self.names = Names(connection)
        self.budget = Budget(connection)
        self.connection = connection
        self._hashes = hashes
        self._known = Collections(self.names, hashes, clinical, self._alive, self._probe)

    def read(self, key: Key) -> Version | None:
        """Give the current version."""
        found = self._head(key)
        if found is None:
            return None
        _, version, updated, method, body, position, _, _ = found
        return Version(key, version, updated, method, body, position)

    def read_many(self, keys: Sequence[Key]) -> list[Version]:
        """Give the current versions of those that exist."""
        wanted = dict.fromkeys(keys)
        targets = [self._hashes.target(key.tenant, key.type, key.id) for key in wanted]
        found: list[Version] = []
        for start in range(0, len(targets), _AT_ONCE):
            some = targets[start : start + _AT_ONCE]
            padded = [*some, *[b""] * (_AT_ONCE - len(some))]
            for collection, id_, *version in self.connection.execute(_READ_MANY, padded):
                key = Key(*self.names.label(collection), id_)
                if key in wanted:
                    found.append(Version(key, *version))
        return found

    def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version."""
        found = self._head(key)
        if found is None:
            return None
        _, version, updated, method, body, position, _, rid = found
        if version != version_id:
            older = self.connection.execute(_VREAD, (rid, version_id)).get
            if older is None:
                return None
            version, updated, method, body, position = older
        return Version(key, version, updated, method, body, position)

    def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        return frozenset((key, version) for key, version in numbers if self._ended(key, version))

    def _ended(self, key: Key, version: int) -> bool:
        target = self._hashes.target(key.tenant, key.type, key.id)
        return bool(self.connection.execute(_ENDED, (target, version)).get)

    def search(self, plan: Plan, *, bounded: int | None = None) -> list[Match]:
        """Give a page of matches; with `bounded`, raises OverBudget rather than take many steps."""
        if plan.limit == 0:
            return []
        if bounded is None:
            return self._search(plan, "thoroughly", None)
        if plan.limit is None or plan.limit > LARGEST_PAGE or _large(plan):
            raise OverBudget
        if goes_straight(plan, self._known.clinical):
            with contextlib.suppress(OverBudget):
                return self._search(plan, "straight", _STRAIGHT)
        return self._search(plan, "quickly", bounded)

    def _search(self, plan: Plan, how: How, bounded: int | None) -> list[Match]:
        with _Bounds(self.budget, bounded):
            query = Compiler(self._known, plan, how).search()
            if bounded is not None and (bounded < 0 or not query.bounded):
                raise OverBudget
            if len(query.statements) <= 1:
                return self._page(plan, query)
            return self.at_one_instant(lambda: self._page(plan, query))

    def count(self, plan: Plan, *, bounded: int | None = None) -> int:
        """Give the number of matches; with `bounded`, raises OverBudget rather than take many steps."""
        if bounded is not None and _large(plan):
            raise OverBudget
        with _Bounds(self.budget, bounded):
            how: How = "thoroughly" if bounded is None else "quickly"
            query = Compiler(self._known, plan, how).count()
            if bounded is not None and not query.bounded:
                raise OverBudget
            given = [query.bindings.given(sql) for sql in query.statements]
            return sum(self.connection.execute(*one).get for one in given)

    def at_one_instant(self, work: Callable[[], _T]) -> _T:
        """Run something in one read transaction."""
        if self.connection.in_transaction:
            return work()
        self.connection.execute("BEGIN")
        try:
            return work()
        finally:
            self.connection.execute("COMMIT")

    def history(self, scope: Scope, page: Page) -> list[Version]:
        """Give versions newest first."""
        if page.limit <= 0:
            return []
        if scope.type is not None and scope.id is not None:
            return self._instance_history(Key(scope.tenant, scope.type, scope.id), page)
        if scope.type is None:
            numbers = self.names.collections(scope.tenant)
        else:
            number = self.names.collection(scope.tenant, scope.type)
            numbers = [] if number is None else [number]
        return self._scoped_history(numbers, page)

    def feed(
        self, after: int, types: frozenset[str] | None = None
    ) -> tuple[Sequence[Version], int]:
        """Give the next versions of the feed, of all types or of some, and how far it was looked at."""
        newest = self.position()
        if newest <= after:
            return (), after
        some, limit = "", _FED
        if types is not None:
            names = ", ".join("?" * len(types))
            some = (
                f" AND (c.position % {PLACES} = 0 OR c.collection IN"
                f" (SELECT id FROM collection WHERE type IN ({names})))"
            )
            limit = _FED_OF_SOME
        sql = f"{_FEED} WHERE c.position > ?{some} ORDER BY c.position LIMIT {limit}"
        rows = self.connection.execute(sql, (after, *(types or ()))).fetchall()
        versions = [self._version(row) for row in rows]
        if len(versions) == limit:
            newest = versions[-1].position
        return versions, max(newest, versions[-1].position) if versions else newest

    def position(self) -> int:
        """Give the position of the newest version."""
        return int(self.connection.execute("SELECT coalesce(max(position), 0) FROM change").get)

    def explain(self, plan: Plan) -> str:
        """Run a plan's statements, and tell them, how SQLite does it and how many resources it looks at."""
        with Counter(self.connection) as seen:
            query, returned = self._explained(plan, seen)
            where = "on the event loop if quick" if query.bounded else "in a thread"
            lines = [f"{len(query.statements)} statements, {where}"]
            for sql in query.statements:
                lines.append(sql)
                given = query.bindings.given(f"EXPLAIN QUERY PLAN {sql}")
                steps = self.connection.execute(*given)
                lines += [f"  {step[3]}" for step in steps]
        return "\n".join((*lines, f"rows examined {seen.count}", f"returned {returned}"))

    def _explained(self, plan: Plan, seen: Counter) -> tuple[Query, int]:
        """Run a plan as `search` does; gives the statements that answered, and how many were found."""
        ways: list[tuple[How, int]] = [("straight", _STRAIGHT), ("quickly", _NEVER)]
        for how, steps in ways if goes_straight(plan, self._known.clinical) else ways[1:]:
            query = Compiler(self._known, plan, how, counting=True).search()
            seen.count = 0
            with contextlib.suppress(OverBudget), _Bounds(self.budget, steps):
                if query.bounded:
                    return query, len(self._page(plan, query))
        with _Bounds(self.budget, None):
            query = Compiler(self._known, plan, "thoroughly", counting=True).search()
            seen.count = 0
            return query, len(self._page(plan, query))

    def _head(self, key: Key) -> tuple[Any, ...] | None:
        target = self._hashes.target(key.tenant, key.type, key.id)
        found = self.connection.execute(_READ, (target,)).fetchall()
        if len(found) == 1 and found[0][0] == key.id:
            return found[0]
        return next((row for row in found if self._is(row, key)), None)

    def _is(self, row: tuple[Any, ...], key: Key) -> bool:
        return row[0] == key.id and self.names.label(row[6]) == (key.tenant, key.type)

    def _page(self, plan: Plan, query: Query) -> list[Match]:
        found: list[Match] = []
        limit = _NEVER if plan.limit is None else plan.limit
        for sql in query.statements:
            rows = self.connection.execute(*query.bindings.given(sql))
            self._take(found, rows, plan, limit)
            if len(found) == limit:
                rows.close()
                break
        return found

    def _take(self, found: list[Match], rows: apsw.Cursor, plan: Plan, limit: int) -> None:
        """Add matches up to the limit; a resource that comes again comes at once, as the order is total."""
        convert, own = keys_of(plan), not plan.sort
        last = known = None
        tenant = type_ = ""
        for *keys, rid, collection, id_, version, updated, method, position, body in rows:
            if rid == last:
                continue
            last = rid
            if collection != known:
                known = collection
                tenant, type_ = self.names.label(collection)
            if own:
                place: tuple[SortKey, ...] = (type_, keys[0])
            else:
                place = tuple(keys) if convert is None else convert(keys)
            key = Key(tenant, type_, id_)
            found.append(Match(Version(key, version, updated, method, body, position), place, rid))
            if len(found) == limit:
                return

    def _alive(self, collection: int) -> int:
        sql = "SELECT alive FROM collection WHERE id = ?"
        return int(self.connection.execute(sql, (collection,)).get)

    def _probe(self, sql: str, bindings: Bindings) -> int:
        return int(self.connection.execute(*bindings.given(sql)).get)

    def _instance_history(self, key: Key, page: Page) -> list[Version]:
        found = self._head(key)
        if found is None:
            return []
        bindings = {
            "rid": found[7],
            "before": _NEVER if page.before is None else page.before,
            "since": -_NEVER if page.since is None else page.since,
            "until": _NEVER if page.until is None else page.until,
            "limit": page.limit,
        }
        rows = self.connection.execute(_INSTANCE, bindings)
        return [Version(key, *row) for row in rows]

    def _scoped_history(self, numbers: Sequence[int], page: Page) -> list[Version]:
        wanted = ", ".join(map(str, numbers))
        sql = f"{_FEED} WHERE c.collection IN ({wanted}) AND c.position < ? AND c.updated < ?"
        before = _NEVER if page.before is None else page.before
        until = _NEVER if page.until is None else page.until
        rows = self.connection.execute(f"{sql} ORDER BY c.position DESC", (before, until))
        found = []
        for version in self._until_older(rows, page.since):
            found.append(version)
            if len(found) == page.limit:
                break
        rows.close()
        return found

    def _until_older(self, rows: apsw.Cursor, since: int | None) -> Iterator[Version]:
        """Give versions until they are older than asked: times never fall as positions rise."""
        for row in rows:
            if since is not None and row[3] < since:
                return
            yield self._version(row)

    def _version(self, row: tuple[Any, ...]) -> Version:
        collection, id_, version, updated, method, body, position = row
        tenant, type_ = self.names.label(collection)
        return Version(Key(tenant, type_, id_), version, updated, method, body, position)


class _Bounds:
    """Sets a budget for a while, and tells an interruption as OverBudget; without steps, one of time."""

    def __init__(self, budget: Budget, steps: int | None) -> None:
        self._budget = budget
        self._steps = steps

    def __enter__(self) -> None:
        self._budget.left = self._steps
        self._budget.until = time.monotonic() + MOST_S if self._steps is None else None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._budget.left = self._budget.until = None
        if kind is not None and issubclass(kind, apsw.InterruptError):
            if self._steps is None:
                raise TooCostly("The search takes too long: narrow what it asks for") from None
            raise OverBudget from None


def _large(plan: Plan) -> bool:
    """Tell whether a plan is so large that it takes long to compile, whatever it finds."""
    return exceeds((branch.where for branch in plan.branches), AT_ONCE)
