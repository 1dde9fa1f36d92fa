"""Many alternatives of one atom: a list that SQLite reads as a table, so that a statement stays as it is.

What they ask differs in values only, as `low >= 3 AND high <= 4` does: each such shape is one condition, and
one arm, with its values in a parameter of JSON (FHIR R4 search.html#combining).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from fhir_server.search.expression import (
    DateRange,
    Expression,
    Kind,
    Number,
    Quantity,
    Text,
    Updated,
    Uri,
)
from fhir_server.search.match import beneath
from fhir_server.store.beginnings import successor
from fhir_server.store.sqlite import ranges
from fhir_server.store.sqlite.arms import Arm, on_resources
from fhir_server.store.sqlite.candidates import Candidate, Column
from fhir_server.store.sqlite.joined import any_of
from fhir_server.store.sqlite.rows import SPANNING, TABLES

if TYPE_CHECKING:
    from fhir_server.store.sqlite.conditions import Conditions

Alternative = Text | DateRange | Number | Quantity | Uri | Updated
Row = list[tuple[str, str, Any]]
_Shape = tuple[tuple[str, str], ...]

FEW: Final = 32
"""So many alternatives are conditions, and arms, of their own."""
_TESTED: Final = 256
"""So many are looked through for each candidate; of more, all that they lead to is gathered first."""
_KINDS: Final[dict[type, Kind]] = {
    Text: "text",
    DateRange: "date",
    Number: "number",
    Quantity: "quantity",
    Uri: "uri",
}
_LOOSEST: Final[dict[str, Callable[[Iterable[Any]], Any]]] = {
    ">": min,
    ">=": min,
    "<": max,
    "<=": max,
}
_OVERLAPS: Final = (("low", "<="), ("high", ">="))
_CONTAINS: Final = "contains"


class Listed(NamedTuple):
    """Alternatives of the atom, and the unit, of the first of them."""

    nodes: tuple[Alternative, ...]

    @property
    def sought(self) -> bool:
        """Whether an index leads to what satisfies them."""
        first = self.nodes[0]
        return not (isinstance(first, Text) and first.how == _CONTAINS)


def gathered(parts: Sequence[Expression]) -> list[Expression | Listed]:
    """Give the parts of an Or with those together that make a list."""
    if len(parts) <= FEW:
        return list(parts)
    groups: dict[Any, list[Any]] = {}
    for n, part in enumerate(parts):
        groups.setdefault(_group(part) or n, []).append(part)
    found: list[Expression | Listed] = []
    for group in groups.values():
        if len(group) > FEW:
            found.append(Listed(tuple(group)))
        else:
            found += group
    return found


def _group(part: Expression) -> tuple[object, ...] | None:
    """Give what alternatives of one list share; None for what is in none."""
    match part:
        case Text(how="starts" | "same" | "contains"):
            return Text, part.atom, part.how
        case Quantity():
            return Quantity, part.atom, part.system, part.code
        case DateRange() | Number() | Uri():
            return type(part), part.atom
        case Updated():
            return (Updated,)
        case _:
            return None


def check(conditions: Conditions, listed: Listed, at: Candidate) -> str:
    """Give the condition that the candidate satisfies some alternative."""
    if at.sought and listed.sought and len(listed.nodes) > _TESTED:
        tests = [
            f"{at.rid} IN ({arm.select(arm.at.rid)})"
            for arm in arms(conditions, listed, at.collection)
        ]
        return f"({any_of(tests)})" if tests else conditions.bind(0)
    first = listed.nodes[0]
    rows = _narrowed(row for node in listed.nodes for row in _rows(node))
    if isinstance(first, Updated):
        return _some(conditions, rows, lambda side: f"{at.row}.{side}")

    def condition(column: Column) -> str:
        return _some(conditions, rows, column) + _unit(conditions, first, column, in_json=True)

    return conditions.each(_KINDS[type(first)], first.atom, at, condition)


def arms(conditions: Conditions, listed: Listed, collection: int) -> list[Arm]:
    """Give the arms that lead to what satisfies some alternative, one for each shape."""
    first = listed.nodes[0]
    rows = _narrowed(row for node in listed.nodes for row in _rows(node))
    if isinstance(first, Updated):
        return [_updated(conditions, *one, collection) for one in _shapes(rows).items()]
    kind = _KINDS[type(first)]
    found = []
    for held, wide, change in _HELD[kind]:
        slot = conditions.slot(collection, held, first.atom)
        if slot is None:
            continue
        for shape, values in _shapes(map(change, rows)).items():
            list_, alias = conditions.bind.alias(), conditions.bind.alias()
            tests = f"{alias}.slot = {conditions.bind(slot)}{wide.format(alias)}"
            tests += f" AND {_test(shape, _of(alias), _value(list_))}"
            tests += _unit(conditions, first, _of(alias), in_json=False)
            table = f"{_table(conditions, values, list_)} CROSS JOIN {TABLES[kind]} {alias}"
            row = conditions.bind.alias()
            at = Candidate(collection, f"{alias}.rid", f"{alias}.clinical", row)
            found.append(Arm(table, tests, at))
    return found


def _same(row: Row) -> Row:
    return row


_HELD: Final[dict[Kind, tuple[tuple[str, str, Callable[[Row], Row]], ...]]] = {
    "text": (("text", "", _same),),
    "uri": (("uri", "", _same),),
    "date": (("date", " AND {}.wide = 0", ranges.narrowed), ("date", " AND {}.wide = 1", _same)),
    "number": (("number", "", ranges.pointed), (SPANNING["number"], "", _same)),
    "quantity": (("quantity", "", ranges.pointed), (SPANNING["quantity"], "", _same)),
}
"""Where the values of a kind are: the kind of slot, what more its rows have, what else is known of bounds."""


def _rows(node: Alternative) -> Sequence[Row]:
    """Give the bounds on columns that an alternative asks for: any row of them will do."""
    match node:
        case Text(how="starts"):
            return [_begins("normal", node.value)]
        case Text():
            return [[("normal", "=" if node.how == "same" else _CONTAINS, node.value)]]
        case Uri():
            same: Row = [("value", "=", node.value)]
            return [same, _begins("value", beneath(node.value))] if node.below else [same]
        case DateRange():
            return ranges.of_date(node)
        case Updated():
            return ranges.of_update(node)
        case _:
            return ranges.of_number(node)


def _begins(column: str, start: str) -> Row:
    end = successor(start)
    above: Row = [(column, ">=", start)]
    return above if end is None else [*above, (column, "<", end)]


def _shapes(rows: Iterable[Row]) -> dict[_Shape, dict[tuple[Any, ...], None]]:
    """Give the shapes of rows with their values, each once."""
    shapes: dict[_Shape, dict[tuple[Any, ...], None]] = {}
    for row in rows:
        shape = tuple((column, operator) for column, operator, _ in row)
        shapes.setdefault(shape, {})[tuple(limit for _, _, limit in row)] = None
    return shapes


def _narrowed(rows: Iterable[Row]) -> list[Row]:
    """Give fewer rows that say the same: of one bound alone the loosest, of what overlaps what it spans."""
    found: list[Row] = []
    for shape, values in _shapes(rows).items():
        loosest = _LOOSEST.get(shape[0][1]) if len(shape) == 1 else None
        kept: Iterable[tuple[Any, ...]] = values
        if loosest is not None:
            kept = [loosest(values)]
        elif shape == _OVERLAPS:
            kept = _spanned(values)
        found += [
            [(*test, limit) for test, limit in zip(shape, limits, strict=True)] for limits in kept
        ]
    return found


def _spanned(ends: Collection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Join intervals (high, low) that overlap: what overlaps one of them overlaps what they span.

    Where low is above high, what is asked for is to be included, and stays as it is.
    """
    found = [one for one in ends if one[0] < one[1]]
    alone = len(found)
    for high, low in sorted((one for one in ends if one[0] >= one[1]), key=lambda one: one[1]):
        if len(found) > alone and low <= found[-1][0]:
            found[-1] = (max(high, found[-1][0]), found[-1][1])
        else:
            found.append((high, low))
    return found


def _test(shape: _Shape, column: Column, value_of: Callable[[int], str]) -> str:
    tests = []
    for n, (name, operator) in enumerate(shape):
        value = value_of(n)
        if operator == _CONTAINS:
            tests.append(f"instr({column(name)}, {value}) > 0")
        else:
            tests.append(f"{column(name)} {operator} {value}")
    return " AND ".join(tests)


def _some(conditions: Conditions, rows: Iterable[Row], column: Column) -> str:
    """Give the condition that columns are within some row of bounds; the list is read once a statement."""
    tests = []
    for shape, values in _shapes(rows).items():
        list_, source = conditions.bind.alias(), conditions.bind.alias()
        names = ", ".join(f"v{n}" for n in range(len(shape)))
        read = ", ".join(map(_value(source), range(len(shape))))
        table = f"SELECT {read} FROM {_table(conditions, values, source)}"
        test = _test(shape, column, f"{list_}.v{{}}".format)
        once = f"WITH {list_}({names}) AS MATERIALIZED ({table})"
        tests.append(f"EXISTS({once} SELECT 1 FROM {list_} WHERE {test})")
    return f"({any_of(tests)})"


def _table(conditions: Conditions, values: Iterable[tuple[Any, ...]], list_: str) -> str:
    return f"json_each({conditions.bind(msgspec.json.encode(list(values)).decode())}) {list_}"


def _value(list_: str) -> Callable[[int], str]:
    return lambda n: f"({list_}.value ->> {n})"


def _updated(
    conditions: Conditions, shape: _Shape, values: Iterable[tuple[Any, ...]], collection: int
) -> Arm:
    list_, alias = conditions.bind.alias(), conditions.bind.alias()
    resources = f"resource {alias} INDEXED BY resource_updated"
    table = f"{_table(conditions, values, list_)} CROSS JOIN {resources}"
    arm = on_resources(conditions.bind, table, alias, collection)
    arm.require(_test(shape, _of(alias), _value(list_)))
    return arm


def _unit(conditions: Conditions, node: Alternative, column: Column, *, in_json: bool) -> str:
    if not isinstance(node, Number | Quantity):
        return ""
    return conditions.unit(node, column, in_json=in_json)


def _of(alias: str) -> Column:
    return lambda column: f"{alias}.{column}"
