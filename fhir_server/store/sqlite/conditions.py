"""Expressions as SQL conditions on one candidate resource; none of them is ever NULL.

A condition seeks an index where a whole key is known (slot, word, clinical date, number of the resource), and
else reads the rows that are kept as JSON beside the resource. What is always true or false is a parameter
all the same: SQLite refuses to follow a named index where it can prove that nothing will be found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, assert_never

from fhir_server.search.expression import (
    And,
    DateRange,
    Expression,
    Ids,
    Linked,
    LinkedFrom,
    Missing,
    Not,
    Number,
    Or,
    Quantity,
    Reference,
    Text,
    Token,
    Updated,
    Uri,
)
from fhir_server.search.match import beneath
from fhir_server.store.sqlite import ranges
from fhir_server.store.sqlite.keys import Hashes
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.rows import PLACES, TABLES, kept

Column = Callable[[str], str]
"""Gives the SQL of a column by its name, or a condition on an alias."""


class Bindings:
    """The values that a statement's parameters stand for, and names that are new in it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._aliases = 0

    def __call__(self, value: Any) -> str:
        """Give the parameter for a value."""
        name = f"b{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def alias(self) -> str:
        """Give a table alias that nothing else has."""
        self._aliases += 1
        return f"a{self._aliases}"


class Candidate:
    """The SQL names of a candidate; `row`, its row of `resource`, is joined only if it was asked for."""

    def __init__(self, collection: int, rid: str, clinical: str, row: str) -> None:
        self.collection = collection
        self.rid = rid
        self.clinical = clinical
        self.needs_row = False
        self._row = row

    @property
    def row(self) -> str:
        """The alias of the candidate's row of `resource`."""
        self.needs_row = True
        return self._row


class Words(NamedTuple):
    """Tokens or references of one atom, any of which will do."""

    table: str
    column: str
    slot: int
    hashes: tuple[bytes, ...]
    system: bytes | None = None


class Conditions:
    """Writes conditions for the resources of one tenant."""

    def __init__(self, names: Names, hashes: Hashes, tenant: str, bind: Bindings) -> None:
        self.names = names
        self.hashes = hashes
        self.tenant = tenant
        self.bind = bind

    def check(self, node: Expression, at: Candidate) -> str:  # noqa: C901, PLR0911, PLR0912 - one arm a node
        """Give the condition that the candidate satisfies the node."""
        match node:
            case Token() | Text(how="exact") | Reference():
                words = self.words(node, at.collection)
                if words is not None:
                    return self._seek(words, at)
                return self._any_code(node, at) if isinstance(node, Token) else self.bind(0)
            case Text():
                return self._each("text", node.atom, at, lambda j: self.text(node, j("normal")))
            case DateRange():
                return self._date(node, at)
            case Number() | Quantity():
                return self._number(node, at)
            case Uri():
                return self._uri(node, at)
            case Missing():
                return self._missing(node, at)
            case Ids():
                return f"{at.row}.id IN ({', '.join(map(self.bind, node.ids))})"
            case Updated():
                rows = ranges.of_update(node)
                return f"({ranges.any_of(rows, lambda side: f'{at.row}.{side}', self.bind)})"
            case Linked():
                return self._linked(node, at)
            case LinkedFrom():
                return self._linked_from(node, at)
            case And():
                return self.all_of(node.parts, at)
            case Or():
                return self._any_of(node.parts, at)
            case Not():
                return f"NOT {self.check(node.part, at)}"
            case _:
                assert_never(node)

    def all_of(self, parts: Sequence[Expression], at: Candidate) -> str:
        """Give the condition that the candidate satisfies all parts."""
        return (
            f"({' AND '.join(self.check(part, at) for part in parts)})" if parts else self.bind(1)
        )

    def words(self, node: Expression, collection: int) -> Words | None:
        """Give what to seek for a node that is one word of an atom; None for other nodes."""
        match node:
            case Token(code=str(code)):
                slot = self._slot(collection, "token", node.atom)
                system = None if node.system is None else self.hashes.word(node.system)
                return Words("tok", "code", slot, (self.hashes.code(code),), system)
            case Text(how="exact"):
                slot = self._slot(collection, "exact", node.atom)
                return Words("tok", "code", slot, (self.hashes.word(node.value),))
            case Reference() if node.type or node.id or node.url:
                slot = self._slot(collection, "reference", node.atom)
                here = self.hashes.target(self.tenant, node.type, node.id)
                target = here if node.type or node.id else self.hashes.url(node.url)
                return Words("ref", "target", slot, (target,))
            case _:
                return None

    def words_where(self, words: Words, alias: str) -> str:
        """Give the condition that a row of the words' table is one of them."""
        bind = self.bind
        where = f"{alias}.slot = {bind(words.slot)} AND {alias}.{words.column} "
        if len(words.hashes) == 1:
            where += f"= {bind(words.hashes[0])}"
        else:
            where += f"IN ({', '.join(map(bind, words.hashes))})"
        return (
            where if words.system is None else f"{where} AND {alias}.system = {bind(words.system)}"
        )

    def text(self, node: Text, column: str) -> str:
        """Give the condition on a normalised string."""
        if node.how == "contains":
            return f"instr({column}, {self.bind(node.value)}) > 0"
        return self.begins(column, node.value)

    def begins(self, column: str, start: str) -> str:
        """Give the condition that a text begins so, as a range of an index."""
        where = f"{column} >= {self.bind(start)}"
        end = successor(start)
        return where if end is None else f"{where} AND {column} < {self.bind(end)}"

    def unit(self, node: Number | Quantity, column: Column, *, in_json: bool) -> str:
        """Give the condition on a quantity's system and code; kept rows hold them `in_json`."""
        where = ""
        if isinstance(node, Quantity):
            for name, word in (("system", node.system), ("code", node.code)):
                if word is not None:
                    key = self.hashes.word(word)
                    where += f" AND {column(name)} = {self.bind(kept(key) if in_json else key)}"
        return where

    def grouped(self, parts: Sequence[Expression], collection: int) -> list[Words | Expression]:
        """Give the parts of an Or, those that seek one atom's words put together."""
        groups: dict[tuple[str, int, bytes | None], Words] = {}
        others: list[Words | Expression] = []
        for part in parts:
            words = self.words(part, collection)
            if words is None:
                others.append(part)
                continue
            key = (words.table, words.slot, words.system)
            known = groups.get(key)
            if known is not None:
                words = known._replace(hashes=tuple(dict.fromkeys(known.hashes + words.hashes)))
            groups[key] = words
        return [*groups.values(), *others]

    def slot(self, collection: int, kind: str, atom: str) -> int | None:
        """Give the number of an atom of a kind, None where no resource ever had a value of it."""
        return self.names.slot(collection, kind, atom)

    def _slot(self, collection: int, kind: str, atom: str) -> int:
        return self.names.slot(collection, kind, atom) or 0

    def _seek(self, words: Words, at: Candidate) -> str:
        alias = self.bind.alias()
        return (
            f"EXISTS(SELECT 1 FROM {words.table} {alias} WHERE {self.words_where(words, alias)}"
            f" AND {alias}.clinical = {at.clinical} AND {alias}.rid = {at.rid})"
        )

    def _any_code(self, node: Token, at: Candidate) -> str:
        if node.system is None:
            return f"NOT {self._missing(Missing('token', (node.atom,)), at)}"
        system = kept(self.hashes.word(node.system))
        return self._each("token", node.atom, at, lambda j: f"{j('system')} = {self.bind(system)}")

    def _date(self, node: DateRange, at: Candidate) -> str:
        rows = ranges.of_date(node)
        return self._each("date", node.atom, at, lambda j: f"({ranges.any_of(rows, j, self.bind)})")

    def _number(self, node: Number | Quantity, at: Candidate) -> str:
        rows = ranges.of_number(node)

        def condition(column: Column) -> str:
            unit = self.unit(node, column, in_json=True)
            return f"({ranges.any_of(rows, column, self.bind)}){unit}"

        return self._each(
            "number" if isinstance(node, Number) else "quantity", node.atom, at, condition
        )

    def _each(self, kind: str, atom: str, at: Candidate, condition: Callable[[Column], str]) -> str:
        """Give the condition that some kept row of the atom satisfies a condition on its columns."""
        slot = self.slot(at.collection, kind, atom)
        if slot is None:
            return self.bind(0)
        rows, column = self.kept_rows(at.row, TABLES[kind])
        where = condition(column)
        return (
            f"EXISTS(SELECT 1 FROM {rows} WHERE {column('slot')} = {self.bind(slot)} AND {where})"
        )

    def kept_rows(self, row: str, table: str) -> tuple[str, Column]:
        """Give the kept rows of a resource as a table of SQL, and what names its columns."""
        alias, places = self.bind.alias(), PLACES[table]
        return (
            f"json_each({row}.rows, '$.{table}') {alias}",
            lambda column: f"({alias}.value ->> {places[column]})",
        )

    def _uri(self, node: Uri, at: Candidate) -> str:
        slot = self.slot(at.collection, "uri", node.atom)
        if slot is None:
            return self.bind(0)
        alias = self.bind.alias()
        same = (
            f"EXISTS(SELECT 1 FROM uri {alias} WHERE {alias}.slot = {self.bind(slot)} AND"
            f" {alias}.value = {self.bind(node.value)} AND {alias}.clinical = {at.clinical}"
            f" AND {alias}.rid = {at.rid})"
        )
        if not node.below:
            return same
        start = beneath(node.value)
        below = self._each("uri", node.atom, at, lambda j: self.begins(j("value"), start))
        return f"({same} OR {below})"

    def _missing(self, node: Missing, at: Candidate) -> str:
        slots = [self.slot(at.collection, node.kind, atom) for atom in node.atoms]
        known = [self.bind(slot) for slot in slots if slot is not None]
        if not known:
            return self.bind(1)
        rows, column = self.kept_rows(at.row, TABLES[node.kind])
        return f"NOT EXISTS(SELECT 1 FROM {rows} WHERE {column('slot')} IN ({', '.join(known)}))"

    def _linked(self, node: Linked, at: Candidate) -> str:
        slot = self.slot(at.collection, "reference", node.atom)
        other = self.names.collection(self.tenant, node.type)
        if slot is None or other is None:
            return self.bind(0)
        target = self.bind.alias()
        there = Candidate(other, f"{target}.rid", f"{target}.clinical", target)
        rows, column = self.kept_rows(at.row, "ref")
        return (
            f"EXISTS(SELECT 1 FROM {rows} CROSS JOIN resource {target} INDEXED BY resource_target"
            f" ON {target}.target = unhex({column('target')})"
            f" AND {target}.collection = {self.bind(other)} AND {target}.alive = 1"
            f" WHERE {column('slot')} = {self.bind(slot)} AND {self.check(node.where, there)})"
        )

    def _linked_from(self, node: LinkedFrom, at: Candidate) -> str:
        other = self.names.collection(self.tenant, node.type)
        slot = None if other is None else self.slot(other, "reference", node.atom)
        if other is None or slot is None:
            return self.bind(0)
        link, source = self.bind.alias(), self.bind.alias()
        there = Candidate(other, f"{link}.rid", f"{link}.clinical", source)
        condition = self.check(node.where, there)
        join = (
            f" CROSS JOIN resource {source} ON {source}.rid = {link}.rid" if there.needs_row else ""
        )
        return (
            f"EXISTS(SELECT 1 FROM ref {link}{join} WHERE {link}.slot = {self.bind(slot)}"
            f" AND {link}.target = {at.row}.target AND {condition})"
        )

    def _any_of(self, parts: Sequence[Expression], at: Candidate) -> str:
        tests = [
            self._seek(part, at) if isinstance(part, Words) else self.check(part, at)
            for part in self.grouped(parts, at.collection)
        ]
        return f"({' OR '.join(tests)})" if tests else self.bind(0)


_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xE000)


def successor(start: str) -> str | None:
    """Give the least text above all that begin with `start`; None if there is none."""
    kept = start.rstrip(chr(_LAST))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if following == _SURROGATES[0]:
        following = _SURROGATES[1]
    return kept[:-1] + chr(following)
