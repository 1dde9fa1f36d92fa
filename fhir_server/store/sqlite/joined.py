"""Tests joined by AND or OR, however many: SQLite reads a chain of them as a tree as deep as it is long.

Its deepest tree is 1,000. From some number on it is halved in brackets, and what EXISTS asks is kept from
being joined as one more table each: to choose an order of tables costs more than the square of their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

FEW: Final = 8
"""So many tests are written as they are."""
_ASKED: Final = ("EXISTS(", "(EXISTS(")


def all_of(tests: Sequence[str]) -> str:
    """Give that all tests hold, as AND has it."""
    if len(tests) <= FEW:
        return " AND ".join(tests)
    return _halved("AND", [f"+{one}" if one.startswith(_ASKED) else one for one in tests])


def any_of(tests: Sequence[str]) -> str:
    """Give that some test holds, as OR has it."""
    return " OR ".join(tests) if len(tests) <= FEW else _halved("OR", tests)


def _halved(word: Literal["AND", "OR"], tests: Sequence[str]) -> str:
    if len(tests) <= FEW:
        return f" {word} ".join(tests)
    half = len(tests) // 2
    return f"({_halved(word, tests[:half])}) {word} ({_halved(word, tests[half:])})"
