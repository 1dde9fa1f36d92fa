"""Expressions as SQL conditions on one candidate resource; none of them is ever NULL.

A condition seeks an index where a whole key is known (slot, word, clinical date, number of the resource), and
else reads the rows that are kept as JSON beside the resource. What is always true or false is a parameter
all the same: SQLite refuses to follow a named index where it can prove that nothing will be found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

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
from fhir_server.search.match import UNDATED, Clinical, beneath
from fhir_server.store.beginnings import successor
from fhir_server.store.sqlite import differing, joined, listed, ranges, texts
from fhir_server.store.sqlite.candidates import (
    MANY,
    Bindings,
    Candidate,
    Column,
    Repetition,
    Words,
)
from fhir_server.store.sqlite.keys import Hashes
from fhir_server.store.sqlite.listed import Listed, gathered
from fhir_server.store.sqlite.names import Names
from fhir_server.store.sqlite.rows import PLACES, SPANNING, TABLES, kept


class Conditions:
    """Writes conditions for the resources of one tenant."""

    def __init__(
        self, names: Names, hashes: Hashes, clinical: Clinical, tenant: str, bind: Bindings
    ) -> None:
        self.names = names
        self.hashes = hashes
        self._clinical = clinical
        self.tenant = tenant
        self.bind = bind

    def check(self, node: Expression, at: Candidate) -> str:  # noqa: C901, PLR0911, PLR0912 - one arm a node
        """Give the condition that the candidate satisfies the node."""
        match node:
            case Token() | Text(how="exact") | Reference():
                words = self.words(node, at.collection)
                if words is not None:
                    return self._seek(words, at) if at.sought else self._held(words, at)
                return self._any_code(node, at) if isinstance(node, Token) else self.bind(0)
            case Text():
                return self.each("text", node.atom, at, lambda j: self.text(node, j("normal")))
            case FullText():
                return self._written(node, at)
            case DateRange():
                return self._date(node, at)
            case Number() | Quantity():
                return self._number(node, at)
            case Uri():
                return self._uri(node, at)
            case Near():
                return self.each("position", node.atom, at, lambda j: self.near(node, j))
            case Within():
                return self._within(node, at)
            case Differs(part):
                return self.each(
                    differing.KINDS[type(part)],
                    part.atom,
                    at,
                    lambda j: differing.condition(part, j, self),
                )
            case Missing():
                return self._missing(node, at)
            case Ids():
                return f"{at.row}.id IN ({self.bind.among(node.ids)})"
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
        tests = [self.check(part, at) for part in parts]
        return f"({joined.all_of(tests)})" if tests else self.bind(1)

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
            where += f"IN ({bind.among(words.hashes)})"
        return (
            where if words.system is None else f"{where} AND {alias}.system = {bind(words.system)}"
        )

    def text(self, node: Text, column: str) -> str:
        """Give the condition on a normalised string."""
        match node.how:
            case "contains":
                return f"instr({column}, {self.bind(node.value)}) > 0"
            case "ends":
                tail = f"substr({column}, {self.bind(-len(node.value))})"
                return f"{tail} = {self.bind(node.value)}" if node.value else self.bind(1)
            case "starts" | "exact":
                return self.begins(column, node.value)
            case how:
                return f"{column} {_COMPARED[how]} {self.bind(node.value)}"

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

    def grouped(
        self, parts: Sequence[Expression], collection: int
    ) -> list[Words | Expression | Listed]:
        """Give the parts of an Or, those that seek one atom's words put together, and many in lists."""
        groups: dict[tuple[str, int, bytes | None], Words] = {}
        asked: dict[tuple[str, int, bytes | None], dict[bytes, None]] = {}
        others: list[Expression] = []
        for part in parts:
            words = self.words(part, collection)
            if words is None:
                others.append(part)
                continue
            key = (words.table, words.slot, words.system)
            groups.setdefault(key, words)
            asked.setdefault(key, {}).update(dict.fromkeys(words.hashes))
        together = [words._replace(hashes=tuple(asked[key])) for key, words in groups.items()]
        return [*together, *gathered(others)]

    def slot(self, collection: int, kind: str, atom: str) -> int | None:
        """Give the number of an atom of a kind, None where no resource ever had a value of it."""
        return self.names.slot(collection, kind, atom)

    def _slot(self, collection: int, kind: str, atom: str) -> int:
        return self.names.slot(collection, kind, atom) or 0

    def _seek(self, words: Words, at: Candidate) -> str:
        if len(words.hashes) > MANY:
            return self._held(words, at)
        alias = self.bind.alias()
        return (
            f"EXISTS(SELECT 1 FROM {words.table} {alias} WHERE {self.words_where(words, alias)}"
            f" AND {alias}.clinical = {at.clinical} AND {alias}.rid = {at.rid})"
        )

    def _held(self, words: Words, at: Candidate) -> str:
        """Give the condition that a kept row is one of the words."""
        rows, column = self._rows_in(at.kept, words.table)
        write = bytes.hex if words.table == "ref" else kept
        wanted = self.bind.among([write(word) for word in words.hashes])
        where = (
            f"{column('slot')} = {self.bind(words.slot)} AND {column(words.column)} IN ({wanted})"
        )
        if words.system is not None:
            where += f" AND {column('system')} = {self.bind(kept(words.system))}"
        return f"EXISTS(SELECT 1 FROM {rows} WHERE {where})"

    def _within(self, node: Within, at: Candidate) -> str:
        slot = self.slot(at.collection, "element", node.element)
        if slot is None:
            return self.bind(0)
        alias = self.bind.alias()
        rows = f"json_each({at.row}.rows, '$.elm') {alias}"
        held = self.check(node.where, Repetition(at.collection, alias))
        return (
            f"EXISTS(SELECT 1 FROM {rows} WHERE {alias}.value ->> 0 = {self.bind(slot)} AND {held})"
        )

    def near(self, node: Near, column: Column) -> str:
        """Give the condition that a place is near enough; whole centimetres, squared, fit 64 bits."""
        ways = ((name, self.bind(getattr(node, name))) for name in "xyz")
        sides = (f"({column(name)} - {at}) * ({column(name)} - {at})" for name, at in ways)
        return f"{' + '.join(sides)} <= {self.bind(node.reach**2)}"

    def _any_code(self, node: Token, at: Candidate) -> str:
        if node.system is None:
            return f"NOT {self._missing(Missing('token', (node.atom,)), at)}"
        system = kept(self.hashes.word(node.system))
        return self.each("token", node.atom, at, lambda j: f"{j('system')} = {self.bind(system)}")

    def listed(self, node: FullText, alias: str) -> str:
        """Give the condition on a text of the list of those that are not indexed yet."""
        wanted = self.bind(f" {' '.join(node.words)}{'' if node.prefix else ' '}")
        columns = ("narrative", "content") if node.part == "content" else ("narrative",)
        tests = [f"instr(' ' || {alias}.{column} || ' ', {wanted}) > 0" for column in columns]
        return f"({' OR '.join(tests)})"

    def _written(self, node: FullText, at: Candidate) -> str:
        """Look into the list, and where that has nothing of the resource into the index."""
        alias = self.bind.alias()
        query = self.bind(texts.asked(node, at.collection))
        return (
            f"coalesce((SELECT {self.listed(node, alias)} FROM unindexed {alias}"
            f" WHERE {alias}.rid = {at.rid}),"
            f" EXISTS(SELECT 1 FROM fulltext WHERE fulltext MATCH {query} AND rowid = {at.rid}))"
        )

    def _date(self, node: DateRange, at: Candidate) -> str:
        """Look at the clinical date first where it is the one that is asked for: most often it decides."""
        rows = ranges.of_date(node)
        held = self.each("date", node.atom, at, lambda j: f"({ranges.any_of(rows, j, self.bind)})")
        if not at.sought or self._clinical(self.names.label(at.collection)[1]) != node.atom:
            return held
        sure = [row for row in rows if ranges.told_by_clinical(row)]
        if not sure:
            return held
        told = ranges.any_of(sure, lambda _: at.clinical, self.bind)
        return f"(({told}) AND {at.clinical} > {UNDATED} OR {held})"

    def _number(self, node: Number | Quantity, at: Candidate) -> str:
        rows = ranges.of_number(node)

        def condition(column: Column) -> str:
            unit = self.unit(node, column, in_json=True)
            return f"({ranges.any_of(rows, column, self.bind)}){unit}"

        return self.each(
            "number" if isinstance(node, Number) else "quantity", node.atom, at, condition
        )

    def each(self, kind: str, atom: str, at: Candidate, condition: Callable[[Column], str]) -> str:
        """Give the condition that some kept row of the atom satisfies a condition on its columns."""
        slots = [self.bind(slot) for slot in self.slots(at.collection, kind, atom)]
        if not slots:
            return self.bind(0)
        rows, column = self._rows_in(at.kept, TABLES[kind])
        where = condition(column)
        return (
            f"EXISTS(SELECT 1 FROM {rows} WHERE {column('slot')} IN ({', '.join(slots)})"
            f" AND {where})"
        )

    def slots(self, collection: int, kind: str, atom: str) -> list[int]:
        """Give the numbers of an atom of a kind that there are: of points, and of intervals."""
        kinds = (kind, SPANNING[kind]) if kind in SPANNING else (kind,)
        found = (self.slot(collection, one, atom) for one in kinds)
        return [slot for slot in found if slot is not None]

    def kept_rows(self, row: str, table: str) -> tuple[str, Column]:
        """Give the kept rows of a resource as a table of SQL, and what names its columns."""
        return self._rows_in((f"{row}.rows", "$"), table)

    def _rows_in(self, held: tuple[str, str], table: str) -> tuple[str, Column]:
        """Give rows that are kept as JSON as a table of SQL, and what names its columns."""
        alias, places = self.bind.alias(), PLACES[table]
        json, path = held
        return (
            f"json_each({json}, '{path}.{table}') {alias}",
            lambda column: f"({alias}.value ->> {places[column]})",
        )

    def _uri(self, node: Uri, at: Candidate) -> str:
        slot = self.slot(at.collection, "uri", node.atom)
        if slot is None:
            return self.bind(0)
        if not at.sought:
            return self.each("uri", node.atom, at, lambda j: self._uri_kept(node, j("value")))
        alias = self.bind.alias()
        same = (
            f"EXISTS(SELECT 1 FROM uri {alias} WHERE {alias}.slot = {self.bind(slot)} AND"
            f" {alias}.value = {self.bind(node.value)} AND {alias}.clinical = {at.clinical}"
            f" AND {alias}.rid = {at.rid})"
        )
        if not node.below:
            return same
        start = beneath(node.value)
        below = self.each("uri", node.atom, at, lambda j: self.begins(j("value"), start))
        return f"({same} OR {below})"

    def _uri_kept(self, node: Uri, column: str) -> str:
        same = f"{column} = {self.bind(node.value)}"
        return f"({same} OR {self.begins(column, beneath(node.value))})" if node.below else same

    def _missing(self, node: Missing, at: Candidate) -> str:
        slots = [self.slots(at.collection, node.kind, atom) for atom in node.atoms]
        known = [self.bind(slot) for some in slots for slot in some]
        if not known:
            return self.bind(1)
        rows, column = self._rows_in(at.kept, TABLES[node.kind])
        return f"NOT EXISTS(SELECT 1 FROM {rows} WHERE {column('slot')} IN ({', '.join(known)}))"

    def _linked(self, node: Linked, at: Candidate) -> str:
        slot = self.slot(at.collection, "reference", node.atom)
        other = self.names.collection(self.tenant, node.type)
        if slot is None or other is None:
            return self.bind(0)
        target = self.bind.alias()
        there = Candidate(other, f"{target}.rid", f"{target}.clinical", target)
        rows, column = self._rows_in(at.kept, "ref")
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
        seek = self._seek if at.sought else self._held
        tests = []
        for part in self.grouped(parts, at.collection):
            if isinstance(part, Words):
                tests.append(seek(part, at))
            elif isinstance(part, Listed):
                tests.append(listed.check(self, part, at))
            else:
                tests.append(self.check(part, at))
        return f"({joined.any_of(tests)})" if tests else self.bind(0)


_COMPARED = {"same": "=", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}
