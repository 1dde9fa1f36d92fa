"""FHIRPath text → syntax tree: the whole grammar, by a tokeniser and precedence climbing (FHIRPath N1, R4).

https://hl7.org/fhirpath/N1/grammar.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal as Choice
from typing import cast

from resources.fhirpath.expression import (
    Binary,
    Call,
    Empty,
    External,
    Index,
    Literal,
    LiteralType,
    Node,
    Path,
    Quantity,
    Sign,
    This,
    TypeTest,
)


class SyntaxFault(ValueError):
    """The text is no FHIRPath expression; the message says where."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


_TOKENS = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
  | (?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?(?P<dateTime>T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?
      (?:Z|[+-]\d\d:\d\d)?)?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<delimited>`(?:[^`\\]|\\.)*`)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{}%])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CALENDAR = frozenset(
    unit + plural
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
)
_PRECEDENCE = {
    "implies": 1,
    "or": 2,
    "xor": 2,
    "and": 3,
    "in": 4,
    "contains": 4,
    "=": 5,
    "~": 5,
    "!=": 5,
    "!~": 5,
    "<": 6,
    "<=": 6,
    ">": 6,
    ">=": 6,
    "|": 7,
    "is": 8,
    "as": 8,
    "+": 9,
    "-": 9,
    "&": 9,
    "*": 10,
    "/": 10,
    "div": 10,
    "mod": 10,
}
_OPERATORS_ONLY = frozenset({"div", "mod", "and", "or", "xor", "implies"})


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """Parse one expression; raises SyntaxFault."""
    return parse_once(text)


def parse_once(text: str) -> Node:
    """Parse one expression without remembering it, which what clients send must not be."""
    return _Parser(text).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKENS.match(text, place)
        if match is None:
            raise SyntaxFault(f"unexpected character at {place}")
        kind = "dateTime" if match["dateTime"] is not None else str(match.lastgroup)
        if kind != "space":
            found.append(_Token(kind, match.group(), place))
        place = match.end()
    return [*found, _Token("end", "", place)]


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(
        lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), text[1:-1]
    )


class _Parser:
    """One pass over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    def whole(self) -> Node:
        node = self._expression(0)
        if self._peek.kind != "end":
            raise self._fault()
        return node

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _at(self, symbol: str) -> bool:
        return self._peek.kind == "symbol" and self._peek.text == symbol

    def _expect(self, symbol: str) -> None:
        if not self._at(symbol):
            raise self._fault()
        self._next += 1

    def _fault(self) -> SyntaxFault:
        return SyntaxFault(f"unexpected {self._peek.kind} at {self._peek.place}")

    def _expression(self, least: int) -> Node:
        left = self._polarity()
        while (strength := self._strength()) > least:
            operator = self._take().text
            if operator in {"is", "as"}:
                left = TypeTest(cast("Choice['is', 'as']", operator), left, self._type_name())
            else:
                left = Binary(operator, left, self._expression(strength))
        return left

    def _strength(self) -> int:
        token = self._peek
        return _PRECEDENCE.get(token.text, 0) if token.kind in {"symbol", "name"} else 0

    def _polarity(self) -> Node:
        if self._at("+") or self._at("-"):
            sign = cast("Choice['+', '-']", self._take().text)
            return Sign(sign, self._polarity())
        return self._invocations(self._term())

    def _invocations(self, node: Node) -> Node:
        while True:
            if self._at("."):
                self._take()
                node = self._invocation(node)
            elif self._at("["):
                self._take()
                node = Index(node, self._expression(0))
                self._expect("]")
            else:
                return node

    def _term(self) -> Node:
        if self._at("("):
            self._take()
            node = self._expression(0)
            self._expect(")")
            return node
        if self._at("{"):
            self._take()
            self._expect("}")
            return Empty()
        if self._at("%"):
            self._take()
            return External(self._external_name())
        return self._literal() or self._invocation(None)

    def _external_name(self) -> str:
        token = self._take()
        if token.kind in {"string", "delimited"}:
            return _unquoted(token.text)
        if token.kind == "name":
            return token.text
        self._next -= 1
        raise self._fault()

    def _literal(self) -> Node | None:
        token = self._peek
        read = _LITERALS.get(token.kind)
        if token.kind == "name" and token.text in {"true", "false"}:
            self._take()
            return Literal(token.text == "true", "boolean")
        if token.kind == "special":
            self._take()
            return This(token.text)
        if read is None:
            return None
        self._take()
        return self._quantity(token) if token.kind == "number" else read(token.text)

    def _quantity(self, number: _Token) -> Node:
        unit = self._peek
        if unit.kind == "string":
            self._take()
            return Quantity(Decimal(number.text), _unquoted(unit.text))
        if unit.kind == "name" and unit.text in _CALENDAR:
            self._take()
            return Quantity(Decimal(number.text), unit.text, calendar=True)
        return _LITERALS["number"](number.text)

    def _invocation(self, target: Node | None) -> Node:
        if target is None and self._peek.text in _OPERATORS_ONLY:
            raise self._fault()
        name = self._name()
        if not self._at("("):
            return Path(target, name)
        self._take()
        return Call(target, name, self._arguments())

    def _arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._at(")"):
            if found:
                self._expect(",")
            found.append(self._expression(0))
        self._expect(")")
        return tuple(found)

    def _name(self) -> str:
        token = self._peek
        if token.kind == "delimited":
            self._take()
            return _unquoted(token.text)
        if token.kind != "name":
            raise self._fault()
        self._take()
        return token.text

    def _type_name(self) -> str:
        name = self._name()
        while self._at("."):
            self._take()
            name += "." + self._name()
        return name


def _dated(kind: LiteralType) -> Callable[[str], Node]:
    return lambda text: Literal(text[1:], kind)


_LITERALS: dict[str, Callable[[str], Node]] = {
    "number": lambda text: (
        Literal(Decimal(text), "decimal") if "." in text else Literal(int(text), "integer")
    ),
    "string": lambda text: Literal(_unquoted(text), "string"),
    "date": _dated("date"),
    "dateTime": _dated("dateTime"),
    "time": _dated("time"),
}
