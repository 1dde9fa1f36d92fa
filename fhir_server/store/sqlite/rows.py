"""The index rows of one resource: built from its values, kept beside it as JSON, compared at an update."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, Final

import msgspec

from fhir_server.search.values import IndexValues
from fhir_server.store.sqlite.keys import Hashes, ordinal
from fhir_server.store.sqlite.names import Names

Row = tuple[Any, ...]


class Rows(msgspec.Struct, gc=False, omit_defaults=True):
    """Rows by table, each beginning with its slot; without the resource's clinical date and number.

    In JSON a row is an array with hashes in base64; those of references are hexadecimal, which SQL can read.
    `key` has the least and the greatest word by slot where rows hold only hashes, to sort by. `full` is a
    hash of what is written in the resource, empty where nothing is. `elm` has the rows of each repetition of
    an element for composites; no table has those.
    """

    tok: set[tuple[int, bytes, bytes]] = msgspec.field(default_factory=set)
    ref: set[tuple[int, str]] = msgspec.field(default_factory=set)
    txt: set[tuple[int, str]] = msgspec.field(default_factory=set)
    dat: set[tuple[int, int, int, int]] = msgspec.field(default_factory=set)
    num: set[tuple[int, int, int]] = msgspec.field(default_factory=set)
    qty: set[tuple[int, int, int, bytes, bytes]] = msgspec.field(default_factory=set)
    uri: set[tuple[int, str]] = msgspec.field(default_factory=set)
    pos: set[tuple[int, int, int, int]] = msgspec.field(default_factory=set)
    elm: list[tuple[int, Rows]] = msgspec.field(default_factory=list)
    key: dict[int, list[str]] = msgspec.field(default_factory=dict)
    full: str = ""

    def of(self, table: str) -> set[Row]:
        """Give the rows of a table as they are written."""
        if table == "ref":
            return {(slot, bytes.fromhex(target)) for slot, target in self.ref}
        rows: set[Row] = getattr(self, table)
        return rows

    def json(self) -> str:
        """Give what is kept beside the resource."""
        return _encode(self).decode()


COLUMNS: Final = {
    "tok": ("slot", "code", "system"),
    "ref": ("slot", "target"),
    "txt": ("slot", "normal"),
    "dat": ("slot", "wide", "low", "high"),
    "num": ("slot", "low", "high"),
    "qty": ("slot", "low", "high", "system", "code"),
    "uri": ("slot", "value"),
    "pos": ("slot", "z", "x", "y"),
}

PLACES: Final = {
    table: {column: place for place, column in enumerate(columns)}
    for table, columns in COLUMNS.items()
}

TABLES: Final = {
    "token": "tok",
    "text": "txt",
    "date": "dat",
    "number": "num",
    "quantity": "qty",
    "reference": "ref",
    "uri": "uri",
    "position": "pos",
}

SPANNING: Final = {"number": "number span", "quantity": "quantity span"}
"""The slots of what is no point but an interval: apart, so that points are found by their one end."""

NARROW: Final = 366 * 86_400_000
"""The longest interval, in milliseconds, that is found by its low end alone: a year."""

_encode = msgspec.json.Encoder().encode
of_json = msgspec.json.Decoder(Rows).decode


def kept(word: bytes) -> str:
    """Give a hash as kept rows have it, but for those of references."""
    return base64.b64encode(word).decode()


class _Slots(dict[str, int]):
    """The slots of one collection and kind by atom, given as they are asked for."""

    def __init__(self, names: Names, collection: int, kind: str) -> None:
        super().__init__()
        self._names = names
        self._place = collection, kind

    def __missing__(self, atom: str) -> int:
        number = self[atom] = self._names.give_slot(*self._place, atom)
        return number


class _Kinds(dict[str, _Slots]):
    """The slots of one collection by kind."""

    def __init__(self, names: Names, collection: int) -> None:
        super().__init__()
        self._names = names
        self._collection = collection

    def __missing__(self, kind: str) -> _Slots:
        slots = self[kind] = _Slots(self._names, self._collection, kind)
        return slots


class Builder:
    """Builds rows within write transactions."""

    def __init__(self, names: Names, hashes: Hashes) -> None:
        self._names = names
        self._hashes = hashes
        self._kinds: dict[int, _Kinds] = {}

    def forget(self) -> None:
        """Forget the slots, after a rollback."""
        self._kinds.clear()

    def build(self, values: IndexValues, tenant: str, collection: int) -> Rows:
        """Give the rows of a resource."""
        kinds = self._kinds.get(collection)
        if kinds is None:
            kinds = self._kinds[collection] = _Kinds(self._names, collection)
        rows = self._rows(values, tenant, kinds)
        for element in values.elements:
            inside = self._rows(element.values, tenant, kinds)
            inside.key.clear()
            rows.elm.append((kinds["element"][element.atom], inside))
        return rows

    def _rows(self, values: IndexValues, tenant: str, kinds: _Kinds) -> Rows:
        rows = Rows()
        if values.tokens:
            self._add_tokens(rows, values, kinds["token"])
        if values.references:
            self._add_references(rows, values, kinds["reference"], tenant)
        if values.texts:
            self._add_texts(rows, values, kinds)
        if values.dates:
            slots = kinds["date"]
            for date in values.dates:
                wide = not 0 <= date.high - date.low <= NARROW
                rows.dat.add((slots[date.atom], int(wide), date.low, date.high))
        if values.numbers or values.quantities:
            self._add_numbers(rows, values, kinds)
        for uri in values.uris:
            rows.uri.add((kinds["uri"][uri.atom], uri.value))
        if values.narrative or values.content:
            rows.full = self._hashes.text(values.narrative, values.content)
        for at in values.positions:
            rows.pos.add((kinds["position"][at.atom], at.z, at.x, at.y))
        return rows

    def _add_numbers(self, rows: Rows, values: IndexValues, kinds: _Kinds) -> None:
        word = self._hashes.word
        for number in values.numbers:
            kind, low, high = _interval("number", number.low, number.high)
            rows.num.add((kinds[kind][number.atom], low, high))
        for one in values.quantities:
            kind, low, high = _interval("quantity", one.low, one.high)
            rows.qty.add((kinds[kind][one.atom], low, high, word(one.system), word(one.code)))

    def _add_tokens(self, rows: Rows, values: IndexValues, slots: _Slots) -> None:
        code, word, add, ends = self._hashes.code, self._hashes.word, rows.tok.add, rows.key
        for token in values.tokens:
            slot, text = slots[token.atom], token.code
            add((slot, code(text), word(token.system)))
            if slot in ends:
                _widen(ends, slot, text)
            else:
                ends[slot] = [text]

    def _add_references(self, rows: Rows, values: IndexValues, slots: _Slots, tenant: str) -> None:
        target, url, add, ends = self._hashes.target, self._hashes.url, rows.ref.add, rows.key
        for value in values.references:
            slot = slots[value.atom]
            if value.id:
                add((slot, target(tenant, value.type, value.id).hex()))
            if value.url:
                add((slot, url(value.url).hex()))
                add((slot, url(value.url.partition("|")[0]).hex()))
            word = f"{value.type}/{value.id}" if value.id else value.url
            if slot in ends:
                _widen(ends, slot, word)
            else:
                ends[slot] = [word]

    def _add_texts(self, rows: Rows, values: IndexValues, kinds: _Kinds) -> None:
        word, texts, exact = self._hashes.word, kinds["text"], kinds["exact"]
        for text in values.texts:
            rows.txt.add((texts[text.atom], text.normal))
            if text.exact:
                rows.tok.add((exact[text.atom], word(text.exact), b""))


def _widen(ends: dict[int, list[str]], slot: int, word: str) -> None:
    known = ends[slot]
    if word < known[0]:
        ends[slot] = [word, known[-1]]
    elif word > known[-1]:
        ends[slot] = [known[0], word]


def _interval(kind: str, low: Decimal, high: Decimal) -> tuple[str, int, int]:
    """Give the kind of slot of a number, and its ends as ordinals."""
    first = ordinal(float(low))
    last = first if low is high else ordinal(float(high))
    return kind if first == last else SPANNING[kind], first, last
