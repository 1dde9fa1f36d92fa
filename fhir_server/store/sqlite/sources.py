"""Where a search begins: expressions as SELECTs of the resources that satisfy them, through one index each.

Of several conjuncts the one with the fewest rows leads, told by probes that count no further than they need;
the others become conditions on each of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from fhir_server.search.expression import (
    And,
    DateRange,
    Differs,
    Expression,
    FullText,
    Ids,
    Linked,
    LinkedFrom,
    Missing,
    Near,
    Not,
    Number,
    Or,
    Quantity,
    Reference,
    Text,
    Token,
    Updated,
    Uri,
    Within,
)
from fhir_server.search.full_text_values import UNREAD
from fhir_server.search.match import beneath
from fhir_server.store.sqlite import listed, ranges, text_sources, texts
from fhir_server.store.sqlite.arms import Arm, Source, on_resources, together
from fhir_server.store.sqlite.candidates import Candidate, Words
from fhir_server.store.sqlite.conditions import Conditions
from fhir_server.store.sqlite.listed import Listed
from fhir_server.store.sqlite.rows import SPANNING

PROBES: Final = (64, 512)
THOROUGH: Final = (*PROBES, 20_000)
MOST_ARMS: Final = 64
_SEPARATE: Final = 16
_BACKWARDS: Final = 4
_MOST_WEIGHED: Final = 16
_MOST_CHECKS: Final = 512

Probe = Callable[[str], int]
"""Runs a SELECT that counts, with the statement's bindings."""


class Sources:
    """Chooses sources for the resources of one tenant, counting them as far as the caps go.

    `leads`: how far conjuncts are counted to find the one that leads.
    """

    def __init__(
        self, conditions: Conditions, probe: Probe, caps: Sequence[int], leads: Sequence[int]
    ) -> None:
        self._conditions = conditions
        self._probe = probe
        self._caps = caps
        self._leads = leads
        self._bind = conditions.bind

    def source(self, node: Expression, collection: int) -> Source | None:  # noqa: C901, PLR0911, PLR0912 - one arm a node
        """Give the source of what satisfies the node; None where no index leads there."""
        match node:
            case Token() | Text() | Reference():
                return self._word(node, collection)
            case FullText():
                return text_sources.written(self._conditions, node, collection)
            case DateRange():
                return self._dates(node, collection)
            case Number() | Quantity():
                return self._numbers(node, collection)
            case Uri():
                return self._uris(node, collection)
            case Near():
                return self._near(node, collection)
            case Ids():
                return self._ids(node, collection)
            case Updated():
                return self._updates(node, collection)
            case Linked():
                return self._linked(node, collection)
            case LinkedFrom():
                return self._linked_from(node, collection)
            case And():
                return self._all_of(node, collection)
            case Or():
                return self._any_of(node, collection)
            case Not() | Missing() | Differs() | Within():
                return None
            case _:
                assert_never(node)

    def whole(self, collection: int, *, index: str = "resource_order") -> Arm:
        """Give the arm of all current resources of a collection, by clinical date and number."""
        alias = self._bind.alias()
        arm = self._on_resources(f"resource {alias} INDEXED BY {index}", alias, collection)
        arm.ordered = arm.distinct = True
        return arm

    def size(self, source: Source, cap: int) -> int:
        """Count a source's rows up to a cap, and remember the size if it is below."""
        if source.size is not None:
            return min(source.size, cap)
        if source.scans:
            return cap
        found = 0
        for arm in source.counted:
            found += self._probe(f"SELECT count(*) FROM ({arm.select('1')} LIMIT {cap - found})")
            if found >= cap:
                return cap
        source.size = found
        return found

    def weigh(self, source: Source) -> int:
        """Count a source's rows as far as the caps go."""
        size = 0
        for cap in self._caps:
            size = self.size(source, cap)
            if size < cap:
                break
        return size

    def _word(self, node: Token | Text | Reference, collection: int) -> Source | None:
        words = self._conditions.words(node, collection)
        if words is not None:
            return Source(self._seek(words, collection))
        if isinstance(node, Reference):
            return Source([])
        kind = "text" if isinstance(node, Text) else "token"
        slot = self._conditions.slot(collection, kind, node.atom)
        if slot is None:
            return Source([])
        if isinstance(node, Text):
            query = None
            if node.how == "contains" and self._conditions.names.label(collection)[1] not in UNREAD:
                query = texts.trigrams(node.value, collection)
            if query is not None:
                return text_sources.contained(self._conditions, node, query, collection)
            alias = self._bind.alias()
            condition = self._conditions.text(node, f"{alias}.normal")
            arm = self._on_rows("txt", alias, slot, condition, collection)
            return Source([arm], scans=node.how in {"contains", "ends"})
        return self._any_code(node, slot, collection)

    def _any_code(self, node: Token, slot: int, collection: int) -> Source:
        alias = self._bind.alias()
        if node.system is None:
            return Source([self._on_rows("tok", alias, slot, "1", collection)])
        word = self._bind(self._conditions.hashes.word(node.system))
        arm = self._on_rows("tok", alias, slot, f"{alias}.system = {word}", collection)
        return Source([arm], scans=True)

    def _seek(self, words: Words, collection: int) -> list[Arm]:
        """Give an arm for each of a few words, which keeps their order, or one for many."""
        if not words.slot:
            return []
        if len(words.hashes) > _SEPARATE:
            return [self._seek_one(words, collection)]
        return [self._seek_one(words._replace(hashes=(word,)), collection) for word in words.hashes]

    def _seek_one(self, words: Words, collection: int) -> Arm:
        alias = self._bind.alias()
        at = self._candidate(alias, collection)
        arm = Arm(f"{words.table} {alias}", self._conditions.words_where(words, alias), at)
        arm.ordered = len(words.hashes) == 1
        arm.distinct = arm.ordered and (words.table == "ref" or words.system is not None)
        return arm

    def _dates(self, node: DateRange, collection: int) -> Source:
        slot = self._conditions.slot(collection, "date", node.atom)
        if slot is None:
            return Source([])
        arms = []
        for row in ranges.of_date(node):
            for wide, bounds in ((0, ranges.narrowed(row)), (1, row)):
                alias = self._bind.alias()
                condition = ranges.sql(bounds, _of(alias), self._bind)
                where = f"{alias}.wide = {wide} AND {condition}"
                arms.append(self._on_rows("dat", alias, slot, where, collection))
        return Source(arms)

    def _numbers(self, node: Number | Quantity, collection: int) -> Source:
        kind, table = ("number", "num") if isinstance(node, Number) else ("quantity", "qty")
        arms = []
        for held in (kind, SPANNING[kind]):
            slot = self._conditions.slot(collection, held, node.atom)
            for row in () if slot is None else ranges.of_number(node):
                alias = self._bind.alias()
                bounds = ranges.pointed(row) if held == kind else row
                condition = ranges.sql(bounds, _of(alias), self._bind)
                condition += self._conditions.unit(node, _of(alias), in_json=False)
                arms.append(self._on_rows(table, alias, slot or 0, condition, collection))
        return Source(arms, scans=isinstance(node, Quantity))

    def _near(self, node: Near, collection: int) -> Source:
        slot = self._conditions.slot(collection, "position", node.atom)
        if slot is None:
            return Source([])
        alias = self._bind.alias()
        south, north = self._bind(node.z - node.reach), self._bind(node.z + node.reach)
        where = f"{alias}.z BETWEEN {south} AND {north}"
        where += f" AND {self._conditions.near(node, _of(alias))}"
        return Source([self._on_rows("pos", alias, slot, where, collection)], scans=True)

    def _uris(self, node: Uri, collection: int) -> Source:
        slot = self._conditions.slot(collection, "uri", node.atom)
        if slot is None:
            return Source([])
        alias = self._bind.alias()
        same = self._on_rows(
            "uri", alias, slot, f"{alias}.value = {self._bind(node.value)}", collection
        )
        same.ordered = same.distinct = True
        if not node.below:
            return Source([same])
        alias = self._bind.alias()
        below = self._conditions.begins(f"{alias}.value", beneath(node.value))
        return Source([same, self._on_rows("uri", alias, slot, below, collection)])

    def _ids(self, node: Ids, collection: int) -> Source:
        conditions, bind = self._conditions, self._bind
        _, type_ = conditions.names.label(collection)
        alias = bind.alias()
        arm = self._on_resources(f"resource {alias} INDEXED BY resource_target", alias, collection)
        hashes = [conditions.hashes.target(conditions.tenant, type_, id_) for id_ in node.ids]
        arm.require(f"{alias}.target IN ({bind.among(hashes)})")
        arm.require(f"{alias}.id IN ({bind.among(node.ids)})")
        arm.distinct = True
        return Source([arm])

    def _updates(self, node: Updated, collection: int) -> Source:
        arms = []
        for row in ranges.of_update(node):
            arm = self.whole(collection, index="resource_updated")
            arm.ordered = False
            arm.require(ranges.sql(row, _of(arm.at.row), self._bind))
            arms.append(arm)
        return Source(arms)

    def _linked(self, node: Linked, collection: int) -> Source:
        conditions, bind = self._conditions, self._bind
        slot = conditions.slot(collection, "reference", node.atom)
        other = conditions.names.collection(conditions.tenant, node.type)
        if slot is None or other is None:
            return Source([])
        inner, scans = self._inside(node.where, other)
        if not inner.arms:
            return inner
        from_, target, link = bind.alias(), bind.alias(), bind.alias()
        table = (
            f"({inner.places}) {from_} CROSS JOIN resource {target} ON {target}.rid = {from_}.rid"
            f" CROSS JOIN ref {link} ON {link}.slot = {bind(slot)} AND {link}.target = {target}.target"
        )
        return Source([Arm(table, "1", self._candidate(link, collection))], scans=scans)

    def _linked_from(self, node: LinkedFrom, collection: int) -> Source:
        conditions, bind = self._conditions, self._bind
        other = conditions.names.collection(conditions.tenant, node.type)
        slot = None if other is None else conditions.slot(other, "reference", node.atom)
        if other is None or slot is None:
            return Source([])
        inner, scans = self._inside(node.where, other)
        if not inner.arms:
            return inner
        from_, source, found = (bind.alias() for _ in range(3))
        rows, column = conditions.kept_rows(source, "ref")
        table = (
            f"({inner.places}) {from_} CROSS JOIN resource {source} ON {source}.rid = {from_}.rid"
            f" CROSS JOIN {rows} CROSS JOIN resource {found} INDEXED BY resource_target"
            f" ON {found}.target = unhex({column('target')}) AND {column('slot')} = {bind(slot)}"
        )
        made = Source([self._on_resources(table, found, collection)], scans=scans)
        made.counted = inner.arms
        made.cost = _BACKWARDS
        return made

    def _inside(self, where: Expression, collection: int) -> tuple[Source, bool]:
        """Give the source of a chain's far end, all resources there if no index leads to them."""
        inner = self.source(where, collection)
        if inner is not None:
            return inner, inner.scans
        arm = self.whole(collection)
        arm.require(self._conditions.check(where, arm.at))
        return Source([arm]), True

    def _all_of(self, node: And, collection: int) -> Source | None:
        parts = sorted(flat(node), key=_rank)
        leader = self._leader(parts, collection)
        if leader is None:
            return None
        leading, source = leader
        others = [part for part in parts if part is not leading]
        if len(source.arms) > 1 and len(source.arms) * len(others) > _MOST_CHECKS:
            source = together(self._bind, source, collection)
        for arm in source.arms:
            for part in others:
                arm.require(self._conditions.check(part, arm.at))
        return source

    def _leader(
        self, parts: Sequence[Expression], collection: int
    ) -> tuple[Expression, Source] | None:
        """Give the first small source, else the smallest by probes of growing caps, else an ordered one."""
        known: list[tuple[Expression, Source]] = []
        for part in parts:
            source = self.source(part, collection)
            if source is None:
                continue
            if len(parts) > 1 and self.size(source, self._leads[0]) < self._leads[0]:
                return part, source
            known.append((part, source))
            if len(known) == _MOST_WEIGHED:
                break
        if len(known) > 1:
            for cap in self._leads[1:]:
                best, least = known[0], cap
                for one in known:
                    size = self.size(one[1], least)
                    if size < least:
                        best, least = one, size
                if least < cap:
                    return best
        return min(known, key=lambda one: (one[1].scans, not one[1].ordered), default=None)

    def _any_of(self, node: Or, collection: int) -> Source | None:
        arms: list[Arm] = []
        scans = False
        for part in self._conditions.grouped(node.parts, collection):
            if isinstance(part, Words):
                arms += self._seek(part, collection)
                continue
            if isinstance(part, Listed):
                if not part.sought:
                    return None
                arms += listed.arms(self._conditions, part, collection)
                scans |= isinstance(part.nodes[0], Quantity)
                continue
            source = self.source(part, collection)
            if source is None:
                return None
            arms += source.arms
            scans |= source.scans
        return Source(arms, scans=scans) if len(arms) <= MOST_ARMS else None

    def _on_rows(self, table: str, alias: str, slot: int, where: str, collection: int) -> Arm:
        condition = f"{alias}.slot = {self._bind(slot)} AND {where}"
        return Arm(f"{table} {alias}", condition, self._candidate(alias, collection))

    def _on_resources(self, table: str, alias: str, collection: int) -> Arm:
        return on_resources(self._bind, table, alias, collection)

    def _candidate(self, alias: str, collection: int) -> Candidate:
        return Candidate(collection, f"{alias}.rid", f"{alias}.clinical", self._bind.alias())


def _of(alias: str) -> Callable[[str], str]:
    return lambda column: f"{alias}.{column}"


def flat(node: Expression) -> list[Expression]:
    """Give the conjuncts of an expression; none where it is always true."""
    if not isinstance(node, And):
        return [node]
    return [one for part in node.parts for one in flat(part)]


_RANKS: Final[dict[type, int]] = {
    Ids: 0,
    Reference: 1,
    Token: 2,
    Uri: 3,
    Text: 3,
    FullText: 4,
    Or: 4,
}
_LATER: Final = 5
_CHAINS: Final = 6


def _rank(node: Expression) -> int:
    """Tell how soon to probe a conjunct: first what tends to be small and costs little to look at."""
    if isinstance(node, Linked | LinkedFrom):
        return _CHAINS
    return _RANKS.get(type(node), _LATER)
