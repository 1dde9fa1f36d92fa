"""The index rows of one resource: built from its values, kept beside it as JSON, compared at an update."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from fhir_server.search.match import key_of
from fhir_server.search.values import IndexValues, ReferenceValue, TokenValue
from fhir_server.store.sqlite.keys import Hashes, ordinal
from fhir_server.store.sqlite.names import Names

Row = tuple[Any, ...]
Rows = dict[str, set[Row]]
"""Rows by table, each beginning with its slot; without the resource's clinical date and number."""

COLUMNS: Final = {
    "tok": ("slot", "code", "system"),
    "ref": ("slot", "target"),
    "txt": ("slot", "normal"),
    "dat": ("slot", "wide", "low", "high"),
    "num": ("slot", "value", "low", "high"),
    "qty": ("slot", "value", "low", "high", "system", "code"),
    "uri": ("slot", "value"),
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
_decode = msgspec.json.Decoder(dict[str, dict[int, list[Any]]]).decode


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

    def build(self, values: IndexValues, tenant: str, collection: int) -> tuple[Rows, str]:
        """Give the rows and the JSON that is kept of them."""
        slots = self._slots.get(collection)
        if slots is None:
            slots = self._slots[collection] = _Slots(self._names, collection)
        word, code = self._hashes.word, self._hashes.code
        rows: Rows = {
            "tok": {(slots["token", v.atom], code(v.code), word(v.system)) for v in values.tokens},
            "ref": self._references(values, tenant, slots),
            "txt": {(slots["text", v.atom], v.normal) for v in values.texts},
            "dat": {
                (slots["date", v.atom], int(not 0 <= v.high - v.low <= NARROW), v.low, v.high)
                for v in values.dates
            },
            "num": {
                (slots["number", v.atom], *_ordinals(v.value, v.low, v.high))
                for v in values.numbers
            },
            "qty": {
                (
                    slots["quantity", v.atom],
                    *_ordinals(v.value, v.low, v.high),
                    word(v.system),
                    word(v.code),
                )
                for v in values.quantities
            },
            "uri": {(slots["uri", v.atom], v.value) for v in values.uris},
        }
        if values.texts:
            rows["tok"].update((slots["exact", v.atom], word(v.exact), b"") for v in values.texts)
        return rows, _json(rows, _ends(values, slots))

    def _references(self, values: IndexValues, tenant: str, slots: _Slots) -> set[Row]:
        target, url = self._hashes.target, self._hashes.url
        rows: set[Row] = set()
        for value in values.references:
            slot = slots["reference", value.atom]
            if value.id:
                rows.add((slot, target(tenant, value.type, value.id)))
            if value.url:
                rows.add((slot, url(value.url)))
                rows.add((slot, url(value.url.partition("|")[0])))
        return rows


def of_json(kept: str) -> Rows:
    """Give the rows that the kept JSON tells of."""
    by_table = _decode(kept)
    rows: Rows = {}
    for table in COLUMNS:
        slots = by_table.get(table)
        if slots:
            rows[table] = {
                (slot, *_from_json(table, row)) for slot, kept in slots.items() for row in kept
            }
    return rows


def _json(rows: Rows, ends: dict[int, list[str]]) -> str:
    kept: dict[str, dict[int, list[Any]]] = {}
    for table, entries in rows.items():
        if entries:
            slots = kept[table] = {}
            for row in entries:
                slots.setdefault(row[0], []).append(_to_json(table, row))
    if ends:
        kept["key"] = ends
    return _encode(kept).decode()


def _to_json(table: str, row: Row) -> Any:
    match table:
        case "tok":
            return row[1].hex(), row[2].hex()
        case "ref":
            return row[1].hex()
        case "txt" | "uri":
            return row[1]
        case "qty":
            return *row[1:4], row[4].hex(), row[5].hex()
        case _:
            return row[1:]


def _from_json(table: str, row: Any) -> Iterable[Any]:
    match table:
        case "tok":
            return map(bytes.fromhex, row)
        case "ref":
            return (bytes.fromhex(row),)
        case "txt" | "uri":
            return (row,)
        case "qty":
            return *row[:3], bytes.fromhex(row[3]), bytes.fromhex(row[4])
        case _:
            return row  # type: ignore[no-any-return]


def _ends(values: IndexValues, slots: _Slots) -> dict[int, list[str]]:
    """Give the least and the greatest word of each atom whose rows are hashes, to sort by."""
    ends: dict[int, list[str]] = {}
    for token in values.tokens:
        _widen(ends, slots["token", token.atom], token)
    for reference in values.references:
        _widen(ends, slots["reference", reference.atom], reference)
    return ends


def _widen(ends: dict[int, list[str]], slot: int, value: TokenValue | ReferenceValue) -> None:
    word = value.code if type(value) is TokenValue else str(key_of(value))
    known = ends.get(slot)
    if known is None:
        ends[slot] = [word]
    elif word < known[0]:
        ends[slot] = [word, known[-1]]
    elif word > known[-1]:
        ends[slot] = [known[0], word]


def _ordinals(*numbers: Decimal) -> Iterable[int]:
    return [ordinal(float(number)) for number in numbers]
