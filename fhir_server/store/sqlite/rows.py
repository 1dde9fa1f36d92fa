"""The index rows of one resource: built from its values, kept beside it as JSON, compared at an update."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, Final

import msgspec

from fhir_server.search.values import IndexValues
from fhir_server.store.sqlite.keys import Hashes, ordinals
from fhir_server.store.sqlite.names import Names

Row = tuple[Any, ...]


class Rows(msgspec.Struct, gc=False, omit_defaults=True):
    """Rows by table, each beginning with its slot; without the resource's clinical date and number.

    In JSON a row is an array with hashes in base64; those of references are hexadecimal, which SQL can read.
    `key` has the least and the greatest word by slot where rows hold only hashes, to sort by.
    """

    tok: set[tuple[int, bytes, bytes]] = msgspec.field(default_factory=set)
    ref: set[tuple[int, str]] = msgspec.field(default_factory=set)
    txt: set[tuple[int, str]] = msgspec.field(default_factory=set)
    dat: set[tuple[int, int, int, int]] = msgspec.field(default_factory=set)
    num: set[tuple[int, int, int, int]] = msgspec.field(default_factory=set)
    qty: set[tuple[int, int, int, int, bytes, bytes]] = msgspec.field(default_factory=set)
    uri: set[tuple[int, str]] = msgspec.field(default_factory=set)
    key: dict[int, list[str]] = msgspec.field(default_factory=dict)

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
    "num": ("slot", "value", "low", "high"),
    "qty": ("slot", "value", "low", "high", "system", "code"),
    "uri": ("slot", "value"),
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
}

NARROW: Final = 366 * 86_400_000
"""The longest interval, in milliseconds, that is found by its low end alone: a year."""

_encode = msgspec.json.Encoder().encode
of_json = msgspec.json.Decoder(Rows).decode


def kept(word: bytes) -> str:
    """Give a hash as kept rows have it, but for those of references."""
    return base64.b64encode(word).decode()


class _Slots(dict[tuple[str, str], int]):
    """The slots of one collection by kind and atom, given as they are asked for."""

    def __init__(self, names: Names, collection: int) -> None:
        super().__init__()
        self._names = names
        self._collection = collection

    def __missing__(self, key: tuple[str, str]) -> int:
        number = self[key] = self._names.give_slot(self._collection, *key)
        return number


class Builder:
    """Builds rows within write transactions."""

    def __init__(self, names: Names, hashes: Hashes) -> None:
        self._names = names
        self._hashes = hashes
        self._slots: dict[int, _Slots] = {}

    def forget(self) -> None:
        """Forget the slots, after a rollback."""
        self._slots.clear()

    def build(self, values: IndexValues, tenant: str, collection: int) -> Rows:
        """Give the rows of a resource."""
        slots = self._slots.get(collection)
        if slots is None:
            slots = self._slots[collection] = _Slots(self._names, collection)
        rows = Rows()
        self._add_tokens(rows, values, slots)
        self._add_references(rows, values, slots, tenant)
        if values.texts:
            self._add_texts(rows, values, slots)
        for date in values.dates:
            wide = not 0 <= date.high - date.low <= NARROW
            rows.dat.add((slots["date", date.atom], int(wide), date.low, date.high))
        for number in values.numbers:
            rows.num.add(
                (slots["number", number.atom], *_three(number.value, number.low, number.high))
            )
        word = self._hashes.word
        for one in values.quantities:
            amount = _three(one.value, one.low, one.high)
            rows.qty.add((slots["quantity", one.atom], *amount, word(one.system), word(one.code)))
        for uri in values.uris:
            rows.uri.add((slots["uri", uri.atom], uri.value))
        return rows

    def _add_tokens(self, rows: Rows, values: IndexValues, slots: _Slots) -> None:
        code, word, add, ends = self._hashes.code, self._hashes.word, rows.tok.add, rows.key
        for token in values.tokens:
            slot, text = slots["token", token.atom], token.code
            add((slot, code(text), word(token.system)))
            _widen(ends, slot, text)

    def _add_references(self, rows: Rows, values: IndexValues, slots: _Slots, tenant: str) -> None:
        target, url, add, ends = self._hashes.target, self._hashes.url, rows.ref.add, rows.key
        for value in values.references:
            slot = slots["reference", value.atom]
            if value.id:
                add((slot, target(tenant, value.type, value.id).hex()))
            if value.url:
                add((slot, url(value.url).hex()))
                add((slot, url(value.url.partition("|")[0]).hex()))
            _widen(ends, slot, f"{value.type}/{value.id}" if value.id else value.url)

    def _add_texts(self, rows: Rows, values: IndexValues, slots: _Slots) -> None:
        word = self._hashes.word
        for text in values.texts:
            rows.txt.add((slots["text", text.atom], text.normal))
            rows.tok.add((slots["exact", text.atom], word(text.exact), b""))


def _widen(ends: dict[int, list[str]], slot: int, word: str) -> None:
    known = ends.get(slot)
    if known is None:
        ends[slot] = [word]
    elif word < known[0]:
        ends[slot] = [word, known[-1]]
    elif word > known[-1]:
        ends[slot] = [known[0], word]


def _three(value: Decimal, low: Decimal, high: Decimal) -> tuple[int, int, int]:
    first, second, third = ordinals(float(value), float(low), float(high))
    return first, second, third
