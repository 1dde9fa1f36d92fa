"""What a statement speaks of: its parameters, and the candidates that its conditions are about."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from resources.outcome import TooCostly

MANY: Final = 64
"""How many words are each a parameter, and are sought one by one on each candidate."""
_BY_NAME: Final = 200
_MOST: Final = 32_000
_NAME: Final = re.compile(r":(b\d+)\b")

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

    def given(self, sql: str) -> tuple[str, dict[str, Any] | list[Any]]:
        """Give a statement with its values: by their names, or by their places where there are many.

        SQLite looks parameters up by name one after another, so that many cost the square of their number.
        Raises TooCostly for more than SQLite takes.
        """
        if len(self.values) <= _BY_NAME:
            return sql, self.values
        values: list[Any] = []

        def placed(name: re.Match[str]) -> str:
            values.append(self.values[name[1]])
            return "?"

        sql = _NAME.sub(placed, sql)
        if len(values) > _MOST:
            raise TooCostly("The search asks for too many different things together")
        return sql, values

    def among(self, words: Sequence[bytes | str]) -> str:
        """Give what stands in the brackets of IN: a parameter a word, or one that holds many as JSON."""
        if len(words) <= MANY:
            return ", ".join(map(self, words))
        plain = [word.hex() if isinstance(word, bytes) else word for word in words]
        value = "unhex(value)" if isinstance(words[0], bytes) else "value"
        return f"SELECT {value} FROM json_each({self(msgspec.json.encode(plain).decode())})"

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

    @property
    def kept(self) -> tuple[str, str]:
        """The JSON that holds the candidate's rows, and the path to them."""
        return f"{self.row}.rows", "$"

    @property
    def sought(self) -> bool:
        """Whether the candidate has rows of its own in the indexes."""
        return True


class Repetition(Candidate):
    """One repetition of an element, whose rows are in what is kept of its resource only."""

    def __init__(self, collection: int, alias: str) -> None:
        super().__init__(collection, "", "", "")
        self._alias = alias

    @property
    def kept(self) -> tuple[str, str]:
        """The JSON that holds the repetition's rows, and the path to them."""
        return f"{self._alias}.value", "$[1]"

    @property
    def sought(self) -> bool:
        """Whether the candidate has rows of its own in the indexes."""
        return False


class Words(NamedTuple):
    """Tokens or references of one atom, any of which will do."""

    table: str
    column: str
    slot: int
    hashes: tuple[bytes, ...]
    system: bytes | None = None
