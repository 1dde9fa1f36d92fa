"""Expressions as MongoDB conditions on the document of one current resource.

Each value node is an `$elemMatch` on the array of index entries, which its compound index answers; nodes of
an Or that ask for words are put together as `$in`. Links were resolved before (links.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, assert_never

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
from fhir_server.store.mongo import listed, spans, written
from fhir_server.store.mongo.keys import Filter, entries, entry, identity

ALL: Final[Filter] = {}
NONE: Final[Filter] = {"_id": {"$in": []}}
_PLANNED: Final = 8

Resolved = Mapping[tuple[str, Linked | LinkedFrom | Or], tuple[str, ...]]
"""By candidate's type: the references that a Linked may hold, the ids that a LinkedFrom or a list allows."""


class Words(NamedTuple):
    """A word of some entries: a value, a system, or both; None is any."""

    names: tuple[str, ...]
    value: str | None
    system: str | None


class Conditions:
    """Writes conditions for resources of one type in one tenant."""

    def __init__(self, tenant: str, type: str, resolved: Resolved, field: str = "index") -> None:
        self._tenant = tenant
        self._type = type
        self._resolved = resolved
        self._field = field

    def of(self, node: Expression) -> Filter:  # noqa: C901, PLR0911, PLR0912 - one arm a node
        """Give the condition that a resource satisfies the node; ALL and NONE where it is so for each."""
        match node:
            case Token() | Reference() | Text(how="exact"):
                words = self._words(node)
                if words is None:
                    return NONE
                return self._find([words.names], [words.value], words.system)
            case Text() | DateRange() | Number() | Quantity() | Uri():
                return _any(self.branches([node]))
            case FullText():
                return written.condition(node)
            case Near():
                name = entry("p", self._type, node.atom)
                around = self._rows(name, [spans.of_place(node)])
                return _all([around, spans.inside(node, name)])
            case Within():
                return self._within(node)
            case Differs():
                return self._differs(node.part)
            case Missing():
                return {self._field: {"$not": self._some(node)}}
            case Ids():
                return self._ids(node.ids)
            case Updated():
                return _any(spans.of_update(node))
            case Linked():
                references = self._resolved[self._type, node]
                names = (entry("r", self._type, node.atom),)
                return self._find([names], references, None) if references else NONE
            case LinkedFrom():
                return self._ids(self._resolved[self._type, node])
            case And():
                return _all(self.of(part) for part in node.parts)
            case Or():
                return self._any_of(node.parts)
            case Not():
                return self._not(node.part)
            case _:
                assert_never(node)

    def _words(self, node: Expression) -> Words | None:
        """Give what is looked for by a node that is one word of an atom; None for other nodes."""
        match node:
            case Token():
                return Words((entry("t", self._type, node.atom),), node.code, node.system)
            case Text(how="exact"):
                return Words((entry("x", self._type, node.atom),), node.value, None)
            case Reference() if node.type or node.id:
                name = entry("r", self._type, node.atom)
                return Words((name,), f"{node.type}/{node.id}", None)
            case Reference() if node.url:
                letters = "l" if "|" in node.url else "lc"
                names = tuple(entry(letter, self._type, node.atom) for letter in letters)
                return Words(names, node.url, None)
            case Uri(below=False):
                return Words((entry("u", self._type, node.atom),), node.value, None)
            case _:
                return None

    def _differs(self, part: Token | Text | Uri) -> Filter:
        """Give the condition that some entry of the part's atom does not satisfy the part."""
        match part:
            case Token():
                name = entry("t", self._type, part.atom)
                asked = {"v": part.code, "w": part.system}
                same: Filter = {field: word for field, word in asked.items() if word is not None}
            case Text():
                name, same = entry("s", self._type, part.atom), listed.written(part)
            case Uri():
                name, same = entry("u", self._type, part.atom), {"v": part.value}
            case _:
                assert_never(part)
        return self._rows(name, [{"$nor": [same]}])

    def _within(self, node: Within) -> Filter:
        """Give the condition on the entries of one repetition, which are like those of a resource."""
        inside = Conditions(self._tenant, self._type, self._resolved, "e").of(node.where)
        if inside == NONE:
            return NONE
        name = entry("e", self._type, node.element)
        return {self._field: {"$elemMatch": {"a": name, **inside}}}

    def branches(self, nodes: Sequence[listed.Alternative]) -> list[Filter]:
        """Give the conditions of nodes of one atom and kind, any of which will do."""
        first, found = nodes[0], []
        for letter, width in listed.LETTERS[type(first)]:
            name = entry(letter, self._type, first.atom)
            rows = (row for node in nodes for row in listed.rows(node, letter, width))
            found += [{self._field: {"$elemMatch": {"a": name, **row}}} for row in rows]
        return found

    def _together(self, nodes: Sequence[Expression]) -> Filter:
        """Give the condition that some node holds of those that make a list, if they are several."""
        if len(nodes) == 1:
            return self.of(nodes[0])
        found = self._resolved.get((self._type, Or(tuple(nodes))))
        return _any([self.of(node) for node in nodes]) if found is None else self._ids(found)

    def _rows(self, name: str, rows: Iterable[Filter]) -> Filter:
        return _any([{self._field: {"$elemMatch": {"a": name, **row}}} for row in rows])

    def _some(self, node: Missing) -> Filter:
        names = entries(node.kind, self._type, node.atoms)
        return {"$elemMatch": {"a": _one_or_in(names)}}

    def _ids(self, ids: Sequence[str]) -> Filter:
        """Give the condition by `_id`, which has an index, with the shard key beside it."""
        names = [identity(self._tenant, self._type, id_) for id_ in ids]
        return {"_id": {"$in": names}, "id": {"$in": list(ids)}} if ids else NONE

    def _any_of(self, parts: Sequence[Expression]) -> Filter:
        """Put words of one system together: atoms that ask for the same words share one `$elemMatch`."""
        asked: defaultdict[tuple[tuple[str, ...], str | None], dict[str | None, None]]
        asked = defaultdict(dict)
        others: list[Expression] = []
        for part in listed.flat(parts):
            words = self._words(part)
            if words is None:
                others.append(part)
            else:
                asked[words.names, words.system][words.value] = None
        together: defaultdict[tuple[tuple[str | None, ...], str | None], list[tuple[str, ...]]]
        together = defaultdict(list)
        for (names, system), values in asked.items():
            whole = (None,) if None in values else tuple(values)
            together[whole, system].append(names)
        found = [self._find(names, values, w) for (values, w), names in together.items()]
        found += [self._together(group) for group in listed.gathered(others)]
        return _any(found)

    def _find(
        self, names: Sequence[tuple[str, ...]], values: Sequence[str | None], system: str | None
    ) -> Filter:
        """Give the condition that some entry of the names has one of the values, None among them for any."""
        wanted: Filter = {"a": _one_or_in([name for group in names for name in group])}
        words = [value for value in values if value is not None]
        if len(words) == len(values):
            wanted["v"] = _one_or_in(words)
        if system is not None:
            wanted["w"] = system
        return {self._field: {"$elemMatch": wanted}}

    def _not(self, part: Expression) -> Filter:
        if isinstance(part, Not):
            return self.of(part.part)
        if isinstance(part, Missing):
            return {self._field: self._some(part)}
        condition = self.of(part)
        if condition == ALL:
            return NONE
        return ALL if condition == NONE else {"$nor": [condition]}


def _one_or_in(words: Sequence[str]) -> str | Filter:
    return words[0] if len(words) == 1 else {"$in": list(words)}


def _all(conditions: Iterable[Filter]) -> Filter:
    """Give that all hold; of many, MongoDB may plan by the first, and is not shown the others as such."""
    kept = [condition for condition in conditions if condition != ALL]
    if NONE in kept:
        return NONE
    if len(kept) <= 1:
        return kept[0] if kept else ALL
    if len(kept) > _PLANNED:
        others = {"$and": kept[_PLANNED:]}
        kept = [*kept[:_PLANNED], {"$nor": [{"$nor": [others]}]}]
    return {"$and": kept}


def _any(conditions: Sequence[Filter]) -> Filter:
    if ALL in conditions:
        return ALL
    kept = [condition for condition in conditions if condition != NONE]
    if len(kept) <= 1:
        return kept[0] if kept else NONE
    return {"$or": kept}
