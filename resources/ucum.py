"""Units of measure: UCUM expressions to a factor over base dimensions (https://ucum.org/ucum).

Factors are exact fractions of the base units m, s, g, rad, K, C and cd. An arbitrary unit such as [iU]
is a dimension of its own. Of the special units Cel and [degF] are known, the logarithmic ones are not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from resources.ucum_atoms import ARBITRARY, DEFINED, METRIC, PREFIXES

Dimensions = tuple[tuple[str, int], ...]

_LONGEST = 200
_LARGEST_POWER = 30
_BASE = frozenset({"m", "s", "g", "rad", "K", "C", "cd"})
_COMPONENT = re.compile(
    r"(?P<number>\d+(?![\d*^]))"
    r"|(?P<symbol>10[*^]|(?:[A-Za-z%'\"_]|\[[^\]]+\])+)(?P<power>[+-]?\d+)?"
    r"|(?P<open>\()|(?P<annotation>\{[^{}]*\})",
    re.ASCII,
)
_AFFINE: Mapping[str, tuple[Fraction, Fraction]] = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67")),
}


class UnknownUnit(ValueError):
    """The text is no UCUM expression of units that are known here."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one of a unit is in base units: (number + offset) times factor, with its powers of dimensions."""

    factor: Fraction
    dimensions: Dimensions
    offset: Fraction = Fraction(0)

    def times(self, other: "Unit", power: int = 1) -> "Unit":
        """Give this unit multiplied by a power of another."""
        powers = dict(self.dimensions)
        for name, held in other.dimensions:
            powers[name] = powers.get(name, 0) + held * power
        kept = tuple(sorted((name, held) for name, held in powers.items() if held))
        return Unit(self.factor * other.factor**power, kept)


ONE = Unit(Fraction(1), ())


@lru_cache(maxsize=4096)
def parse(text: str) -> Unit:
    """Give the unit that a UCUM expression names; raises UnknownUnit."""
    if text in _AFFINE:
        factor, offset = _AFFINE[text]
        return Unit(factor, (("K", 1),), offset)
    if len(text) > _LONGEST:
        raise UnknownUnit("the unit is too long")
    reader = _Reader(text)
    unit = reader.term()
    if reader.place != len(text):
        raise UnknownUnit(f"unexpected character at {reader.place}")
    return unit


def base_expression(dimensions: Dimensions) -> str:
    """Write dimensions as a UCUM expression of base units, e.g. g.m-1; none are 1."""
    return ".".join(f"{name}{'' if power == 1 else power}" for name, power in dimensions) or "1"


class _Reader:
    """One pass over the text of a unit."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.place = 0

    def term(self) -> Unit:
        unit = ONE
        for sign in self._signs():
            unit = unit.times(self._component(), sign)
        return unit

    def _signs(self) -> Iterator[int]:
        """Give 1 or -1 before each component, by what stands between them."""
        leading = self._text.startswith("/", self.place)
        self.place += leading
        yield -1 if leading else 1
        while self._text[self.place : self.place + 1] in {".", "/"}:
            divided = self._text[self.place] == "/"
            self.place += 1
            yield -1 if divided else 1

    def _component(self) -> Unit:
        found = _COMPONENT.match(self._text, self.place)
        if found is None:
            raise UnknownUnit(f"no unit at {self.place}")
        self.place = found.end()
        if found["open"]:
            return self._bracketed()
        unit = ONE
        if found["number"]:
            unit = Unit(Fraction(max(int(found["number"]), 1)), ())
        elif found["symbol"]:
            unit = _raised(_symbol(found["symbol"]), int(found["power"] or 1))
        self._skip_annotation()
        return unit

    def _bracketed(self) -> Unit:
        unit = self.term()
        if self._text[self.place : self.place + 1] != ")":
            raise UnknownUnit(f"no closing bracket at {self.place}")
        self.place += 1
        return unit

    def _skip_annotation(self) -> None:
        found = _COMPONENT.match(self._text, self.place)
        if found is not None and found["annotation"]:
            self.place = found.end()


def _raised(unit: Unit, power: int) -> Unit:
    if abs(power) > _LARGEST_POWER:
        raise UnknownUnit("the power is too large")
    return ONE.times(unit, power)


@lru_cache(maxsize=1024)
def _symbol(text: str) -> Unit:
    """Give the unit of an atom, with or without a metric prefix."""
    found = _atom(text)
    if found is not None:
        return found
    for length in (1, 2):
        prefix, atom = text[:length], text[length:]
        if prefix in PREFIXES and (atom in METRIC or atom in _BASE):
            held = _atom(atom)
            if held is not None:
                return Unit(held.factor * Fraction(PREFIXES[prefix]), held.dimensions)
    raise UnknownUnit("the unit is not known")


def _atom(text: str) -> Unit | None:
    if text in _BASE or text in ARBITRARY:
        return Unit(Fraction(1), ((ARBITRARY.get(text, text), 1),))
    if text not in DEFINED:
        return None
    number, expression = DEFINED[text]
    held = parse(expression)
    return Unit(Fraction(number) * held.factor, held.dimensions)
