"""Plans as SQL statements: which index gives their order, which rows come first, where a page begins.

A page either streams from indexes that are in its order, or its resources are gathered by number and sorted
without their bodies. Ties are broken by the number, in the direction of the last sort key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from fhir_server.search.expression import (
    ALWAYS,
    And,
    Cursor,
    Expression,
    Plan,
    Sort,
    SortKey,
    Through,
    both,
    either,
)
from fhir_server.search.match import UNDATED, Clinical, by_clinical
from fhir_server.store.sqlite.arms import Arm, Source, row_of
from fhir_server.store.sqlite.candidates import Bindings, Candidate
from fhir_server.store.sqlite.conditions import Conditions
from fhir_server.store.sqlite.keys import Hashes, ordinal
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.rows import TABLES
from fhir_server.store.sqlite.sources import PROBES, THOROUGH, Sources, flat

BY_DATE: Final = "resource_order"
BY_UPDATE: Final = "resource_updated"
LARGEST_PAGE: Final = 1_001
_GATHER_COST: Final = 20
_WORDS: Final = ("token", "reference")
_SORTED: Final = {
    "text": "normal",
    "date": "low",
    "number": "low",
    "quantity": "low",
    "uri": "value",
}


class Collections(NamedTuple):
    """What a compiler asks of its connection."""

    names: Names
    hashes: Hashes
    clinical: Clinical
    alive: Callable[[int], int]
    probe: Callable[[str, Bindings], int]


class Query(NamedTuple):
    """Statements to run in turn until the page is full; each gives its keys, rid, collection and a row.

    `bounded`: few rows are looked at, so that it may be tried on the event loop. `keys`: the number of keys.
    """

    statements: list[str]
    bindings: Bindings
    keys: int
    bounded: bool


class Part(NamedTuple):
    """One type of a plan, the number of its collection, and where it begins (None: no index leads there)."""

    type: str
    collection: int
    where: Expression
    source: Source | None


Keyed = tuple[Part, Source]
How = Literal["straight", "quickly", "thoroughly"]


class Compiler:
    """Compiles one plan for one connection; `how` tells how much it may look into beforehand.

    `straight`: no more than whether a conjunct is rare; to be wrong costs little where the statements' steps
    are bounded. `quickly`: on the event loop, where probes are small. `thoroughly`: in a thread.
    With `counting` the SQL function `seen` is called with each resource that is looked at.
    """

    def __init__(self, known: Collections, plan: Plan, how: How, *, counting: bool = False) -> None:
        self._known = known
        self._counting = counting
        caps = THOROUGH if how == "thoroughly" else PROBES
        self._plan = plan
        self._bind = Bindings()
        self._conditions = Conditions(
            known.names, known.hashes, known.clinical, plan.tenant, self._bind
        )
        self._sources = Sources(
            self._conditions,
            lambda sql: known.probe(sql, self._bind),
            caps,
            leads=caps[:1] if how == "straight" else caps,
        )
        self._bounded = plan.limit is not None and plan.limit <= LARGEST_PAGE

    def search(self) -> Query:
        """Give the statements of a page."""
        parts = self._parts()
        statements = self._sorted(parts) if self._plan.sort else self._own(parts)
        return Query(statements, self._bind, max(1, len(self._plan.sort)), self._bounded)

    def count(self) -> Query:
        """Give statements that each count a part of all matches."""
        statements = []
        self._bounded = True
        for part in self._parts():
            if part.where == ALWAYS:
                number = self._bind(part.collection)
                statements.append(f"SELECT alive FROM collection WHERE id = {number}")
                continue
            source = self._gathered(part)
            if source.arms:
                statements.append(f"SELECT count(*) FROM ({source.places})")
        return Query(statements, self._bind, 0, self._bounded)

    def _parts(self) -> list[Part]:
        """Give the types in their order, each once, without those of which nothing was ever stored."""
        by_type: dict[str, Expression] = {}
        for branch in self._plan.branches:
            known = by_type.get(branch.type)
            by_type[branch.type] = branch.where if known is None else either((known, branch.where))
        numbers = self._known.names.of(self._plan.tenant, sorted(by_type))
        return [self._part(type_, number, by_type[type_]) for type_, number in numbers.items()]

    def _part(self, type_: str, number: int, where: Expression) -> Part:
        where = both(flat(where))
        source = self._sources.source(where, number)
        if self._counting and source is not None:
            for arm in source.arms:
                self._count(arm)
        return Part(type_, number, where, source)

    def _own(self, parts: Sequence[Part]) -> list[str]:
        """Give the statements of the store's own order: type, clinical date, number."""
        statements = []
        back = self._plan.backwards
        for part in reversed(parts) if back else parts:
            after = self._plan.after
            if after is not None:
                type_, at = str(after.keys[0]), after.keys[1]
                if part.type > type_ if back else part.type < type_:
                    continue
                after = Cursor((at,), after.place) if part.type == type_ else None
            arms = self._streamed(part, BY_DATE)
            if arms is None:
                keys = {part.collection: ["d.clinical"]}
                statements.append(self._gather([(part, self._gathered(part))], keys, after))
            elif arms:
                statements.append(self._stream([(part, arms)], BY_DATE, after))
        return statements

    def _sorted(self, parts: Sequence[Part]) -> list[str]:
        index = self._index(parts)
        if index is not None:
            streams = [(part, self._streamed(part, index)) for part in parts]
            flowing = [(part, arms) for part, arms in streams if arms is not None]
            if len(flowing) == len(streams):
                return self._streams(flowing, index)
        keyed = [(part, self._gathered(part)) for part in parts]
        keyed = [(part, source) for part, source in keyed if source.arms]
        keys = {
            part.collection: [self._key(key, part) for key in self._plan.sort] for part, _ in keyed
        }
        return [self._gather(keyed, keys, self._plan.after)] if keyed else []

    def _index(self, parts: Sequence[Part]) -> str | None:
        """Give the index that is in the asked order for all parts."""
        if len(self._plan.sort) != 1:
            return None
        (key,) = self._plan.sort
        if key.by == "_lastUpdated":
            return BY_UPDATE
        dated = all(by_clinical(key, part.type, self._known.clinical) for part in parts)
        return BY_DATE if dated else None

    def _streamed(self, part: Part, index: str) -> list[Arm] | None:
        """Give arms in the index's order, or None if it is better to gather and sort."""
        source = part.source
        if source is not None:
            if not source.arms or (index == BY_DATE and source.ordered):
                return source.arms
            if not self._plentiful(source, part.collection):
                return None
        return [self._whole(part, index)]

    def _plentiful(self, source: Source, collection: int) -> bool:
        """Tell whether matches are so many that a page fills sooner from the ordered whole."""
        limit = self._plan.limit
        if limit is None or source.scans:
            return False
        size = self._sources.weigh(source)
        return size * size * source.cost > _GATHER_COST * limit * self._known.alive(collection)

    def _whole(self, part: Part, index: str) -> Arm:
        arm = self._sources.whole(part.collection, index=index)
        self._count(arm)
        if part.where != ALWAYS:
            arm.require(self._conditions.check(part.where, arm.at))
        return arm

    def _count(self, arm: Arm) -> None:
        if self._counting:
            arm.require(f"seen({arm.at.rid})")

    def _gathered(self, part: Part) -> Source:
        """Give a source all of which is looked at, and note what that means."""
        if part.source is None:
            self._bounded = False
            return Source([self._whole(part, BY_DATE)])
        if part.source.scans or self._sources.weigh(part.source) >= PROBES[-1]:
            self._bounded = False
        return part.source

    def _streams(self, flowing: list[tuple[Part, list[Arm]]], index: str) -> list[str]:
        """Give one statement, or, for the least date first, those with a date and then those without."""
        flowing = [(part, arms) for part, arms in flowing if arms]
        if not flowing:
            return []
        after = self._plan.after
        undated = after is not None and after.keys[0] is None
        if after is not None and undated:
            after = Cursor((UNDATED,), after.place)
        (key,) = self._plan.sort
        if index == BY_UPDATE or key.descending:
            return [self._stream(flowing, index, after)]
        back = self._plan.backwards
        if after is not None and undated != back:
            return [self._stream(flowing, index, after, undated=undated)]
        return [
            self._stream(flowing, index, after, undated=back),
            self._stream(flowing, index, None, undated=not back),
        ]

    def _stream(
        self,
        flowing: Sequence[tuple[Part, list[Arm]]],
        index: str,
        after: Cursor | None,
        *,
        undated: bool | None = None,
    ) -> str:
        """Give the statement of arms in their order, with `undated` only those without or with a date."""
        descending = any(key.descending for key in self._plan.sort) != self._plan.backwards
        selects = []
        for part, arms in flowing:
            for arm in arms:
                key = f"{arm.at.row}.updated" if index == BY_UPDATE else arm.at.clinical
                where = []
                if undated is not None:
                    where.append(f"{key} {'=' if undated else '>'} {UNDATED}")
                if after is not None:
                    limit = f"{self._bind(after.keys[0])}, {self._bind(after.place)}"
                    where.append(f"({key}, {arm.at.rid}) {'<' if descending else '>'} ({limit})")
                columns = (
                    f"{key}, {arm.at.rid}, {self._bind(part.collection)}, {row_of(arm.at.row)}"
                )
                selects.append(arm.select(columns, where))
        way = " DESC" if descending else ""
        return f"{' UNION ALL '.join(selects)} ORDER BY 1{way}, 2{way}"

    def _gather(
        self, keyed: Sequence[Keyed], keys: dict[int, list[str]], after: Cursor | None
    ) -> str:
        """Give the statement that collects numbers with their keys, sorts, cuts the page, adds the rows."""
        back = self._plan.backwards
        downs = [key.descending != back for key in self._plan.sort] or [back]
        ways = [" DESC" if down else "" for down in downs]
        count = len(ways)
        selects = []
        for part, source in keyed:
            columns = ", ".join(f"{key} AS k{n}" for n, key in enumerate(keys[part.collection]))
            join = " CROSS JOIN resource c ON c.rid = d.rid" if "c." in columns else ""
            number = self._bind(part.collection)
            selects.append(
                f"SELECT {columns}, d.rid AS rid, {number} AS collection"
                f" FROM ({source.places}) d{join}"
            )
        nulls = "NULLS FIRST" if back else "NULLS LAST"
        order = ", ".join(f"k{n}{way} {nulls}" for n, way in enumerate(ways))
        order += f", rid{ways[-1]}"
        where = "" if after is None else f" WHERE {self._beyond(after, ways)}"
        limit = "" if self._plan.limit is None else f" LIMIT {self._bind(self._plan.limit)}"
        names = ", ".join(f"x.k{n}" for n in range(count))
        outer = ", ".join(f"x.{term}" for term in order.split(", "))
        return (
            f"SELECT {names}, x.rid, x.collection, {row_of('r')} FROM"
            f" (SELECT * FROM ({' UNION ALL '.join(selects)}){where} ORDER BY {order}{limit}) x"
            f" CROSS JOIN resource r ON r.rid = x.rid ORDER BY {outer}"
        )

    def _beyond(self, after: Cursor, ways: Sequence[str]) -> str:
        """Give the condition that a row comes after the cursor, missing values last in any direction.

        Where the plan goes backwards they come first.
        """
        tests, same, back = [], "", self._plan.backwards
        for n, (key, way) in enumerate(zip(self._ordinals(after.keys), ways, strict=True)):
            if key is not None:
                value = self._bind(key)
                further = f"k{n} {'<' if way else '>'} {value}"
                missing = "" if back else f" OR k{n} IS NULL"
                tests.append(f"({same}({further}{missing}))")
                same += f"k{n} = {value} AND "
            else:
                if back:
                    tests.append(f"({same}k{n} IS NOT NULL)")
                same += f"k{n} IS NULL AND "
        tests.append(f"({same}rid {'<' if ways[-1] else '>'} {self._bind(after.place)})")
        return f"({' OR '.join(tests)})"

    def _ordinals(self, keys: Sequence[SortKey]) -> list[SortKey]:
        return [ordinal(key) if isinstance(key, float) else key for key in keys]

    def _key(self, key: Sort, part: Part) -> str:
        """Give the SQL of a sort key of the candidate d, whose row is c."""
        if key.by == "_id":
            return "c.id"
        if key.by == "_lastUpdated":
            return "c.updated"
        if by_clinical(key, part.type, self._known.clinical):
            return f"nullif(d.clinical, {UNDATED})"
        if key.through:
            selects = [s for t in key.through for s in self._far_values(key, t, part.collection)]
        else:
            selects = [
                f"SELECT {value} AS v FROM {rows} WHERE {where}"
                for rows, value, where in self._values(key, part.collection, "c")
            ]
        best = "max" if key.descending else "min"
        return f"(SELECT {best}(v) FROM ({' UNION ALL '.join(selects)}))" if selects else "NULL"

    def _far_values(self, key: Sort, through: Through, collection: int) -> Iterator[str]:
        """Give the SELECTs of what a chained key goes by: values of what the row c refers to."""
        names = self._known.names
        slot = names.slot(collection, "reference", through.atom)
        other = names.collection(self._plan.tenant, through.type)
        if slot is None or other is None:
            return
        row = self._bind.alias()
        links, link = self._conditions.kept_rows("c", "ref")
        join = (
            f"{links} CROSS JOIN resource {row} INDEXED BY resource_target"
            f" ON {row}.target = unhex({link('target')})"
            f" AND {row}.collection = {self._bind(other)} AND {row}.alive = 1"
        )
        there = Candidate(other, f"{row}.rid", f"{row}.clinical", row)
        reached = f"{link('slot')} = {self._bind(slot)}"
        reached += f" AND {self._conditions.check(through.where, there)}"
        for rows, value, where in self._values(key, other, row):
            yield f"SELECT {value} AS v FROM {join} CROSS JOIN {rows} WHERE {reached} AND {where}"

    def _values(self, key: Sort, collection: int, row: str) -> Iterator[tuple[str, str, str]]:
        """Give where the values are that a resource, whose row is named, can be sorted by."""
        held = [self._conditions.slots(collection, key.kind, atom) for atom in key.atoms]
        for number in (self._bind(slot) for some in held for slot in some):
            if key.kind in _WORDS:
                alias = self._bind.alias()
                rows = f"json_each({row}.rows, '$.key.' || {number}) {alias}"
                yield rows, f"{alias}.value", "1"
            else:
                rows, column = self._conditions.kept_rows(row, TABLES[key.kind])
                yield rows, column(_SORTED[key.kind]), f"{column('slot')} = {number}"


def goes_straight(plan: Plan, clinical: Clinical) -> bool:
    """Tell whether conjuncts are asked for in the order of clinical dates, as words lie in their index."""
    if not any(isinstance(branch.where, And) for branch in plan.branches):
        return False
    if not plan.sort:
        return True
    return len(plan.sort) == 1 and all(
        by_clinical(plan.sort[0], branch.type, clinical) for branch in plan.branches
    )
