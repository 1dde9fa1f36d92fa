"""Alternatives of one atom as rows of conditions on its entries, and which of them are many.

MongoDB plans every branch of an `$or` by itself, and may hold every document against all of them. Many
alternatives are therefore resolved beforehand, as links are (links.py; FHIR R4 search.html#combining).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fhir_server.search.expression import DateRange, Expression, Number, Or, Quantity, Text, Uri
from fhir_server.search.match import beneath
from fhir_server.store.mongo import spans
from fhir_server.store.mongo.entries import WIDTHS
from fhir_server.store.mongo.keys import Filter, begins
from resources.outcome import TooCostly

Alternative = Text | DateRange | Number | Quantity | Uri

LETTERS: Final[dict[type, tuple[tuple[str, int | None], ...]]] = {
    Text: (("s", None),),
    DateRange: (*WIDTHS.items(), ("w", None)),
    Number: (("n", None), ("N", None)),
    Quantity: (("q", None), ("Q", None)),
    Uri: (("u", None),),
}
"""The letters of the entries of a kind, with the longest interval of dates in them, None for any."""
FEW: Final = 64
"""So many alternatives are a branch each."""
_LONGEST_PATTERN: Final = 8_000
_COMPARED: Final = {"same": "$eq", "gt": "$gt", "lt": "$lt", "ge": "$gte", "le": "$lte"}


def _group(part: Expression) -> tuple[object, ...] | None:
    """Give what alternatives of one list share; None for what is in none."""
    match part:
        case Text(how="starts" | "same"):
            return Text, part.atom
        case Quantity():
            return Quantity, part.atom, part.system, part.code
        case DateRange() | Number() | Uri(below=True):
            return type(part), part.atom
        case _:
            return None


def flat(parts: Iterable[Expression]) -> Iterator[Expression]:
    """Give the parts of an Or, those of an Or within it one by one."""
    for part in parts:
        if isinstance(part, Or):
            yield from flat(part.parts)
        else:
            yield part


def many(node: Or) -> list[list[Any]]:
    """Give the lists among the parts of an Or, none where they are few."""
    if len(node.parts) <= FEW:
        return []
    return [group for group in gathered(list(flat(node.parts))) if len(group) > 1]


def gathered(parts: Sequence[Expression]) -> list[list[Any]]:
    """Give the parts of an Or: those together that make a list, each other one alone."""
    if len(parts) <= FEW:
        return [[part] for part in parts]
    groups: dict[Any, list[Any]] = {}
    for n, part in enumerate(parts):
        groups.setdefault(_group(part) or n, []).append(part)
    found: list[list[Any]] = []
    for group in groups.values():
        found += [group] if len(group) > FEW else [[part] for part in group]
    return found


def rows(node: Alternative, letter: str, width: int | None) -> list[Filter]:
    """Give the rows of conditions on an entry of a letter, any of which will do."""
    match node:
        case Text():
            return [written(node)]
        case DateRange():
            return [spans.of_date(node, width)]
        case Uri():
            below = [{"v": begins(beneath(node.value))}] if node.below else []
            return [{"v": node.value}, *below]
        case _:
            words = {"s": node.system, "q": node.code} if isinstance(node, Quantity) else {}
            unit = {name: word for name, word in words.items() if word is not None}
            return [row | unit for row in spans.of_number(node, "h" if letter.isupper() else "v")]


def written(node: Text) -> Filter:
    """Give the condition on a normalised string; none for one that every string satisfies."""
    match node.how:
        case "starts" | "exact":
            return {"v": begins(node.value)} if node.value else {}
        case "contains" | "ends":
            pattern = re.escape(node.value).replace("\0", "\\x00")
            if len(pattern) > _LONGEST_PATTERN:
                raise TooCostly("The text to be contained is too long")
            return {"v": {"$regex": pattern if node.how == "contains" else pattern + r"\z"}}
        case how:
            return {"v": {_COMPARED[how]: node.value}}
