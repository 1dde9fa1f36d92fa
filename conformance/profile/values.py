"""Fixed values and patterns (FHIR R4 elementdefinition-definitions.html#fixed, #pattern)."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from conformance.profile.item import Item
from conformance.profile.run import NOTHING, Check, Issues, Run
from resources import ucum
from resources.outcome import Issue

_UCUM = "http://unitsofmeasure.org"


def stated(element: Mapping[str, Any], kind: str) -> Any:
    """Give the value of fixed[x] or pattern[x] (`kind`), or of any such choice; None where there is none."""
    for name, value in element.items():
        if name.startswith(kind) and name[len(kind) : len(kind) + 1].isupper():
            return value
    return None


def equal(wanted: Any, held: Any) -> bool:
    """Tell whether two JSON values are the same, numbers by their value and digits."""
    if isinstance(wanted, dict):
        return (
            isinstance(held, dict)
            and wanted.keys() == held.keys()
            and all(equal(value, held[name]) for name, value in wanted.items())
        )
    if isinstance(wanted, list):
        return (
            isinstance(held, list)
            and len(wanted) == len(held)
            and all(equal(*pair) for pair in zip(wanted, held, strict=True))
        )
    if isinstance(wanted, bool) or isinstance(held, bool):
        return wanted is held
    return bool(wanted == held)


def fits(pattern: Any, held: Any) -> bool:
    """Tell whether a value has all that a pattern says; each entry of its lists is met by some entry."""
    if isinstance(pattern, dict):
        return isinstance(held, dict) and all(
            name in held and fits(value, held[name]) for name, value in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(held, list) and all(
            any(fits(wanted, one) for one in held) for wanted in pattern
        )
    return equal(pattern, held)


def value_checks(element: Mapping[str, Any]) -> list[Check]:
    """Give the checks of an element's fixed value and pattern."""
    found: list[Check] = []
    fixed, pattern = stated(element, "fixed"), stated(element, "pattern")
    if fixed is not None:
        found.append(_check(lambda held: equal(fixed, held), "The value is not the fixed one"))
    if pattern is not None:
        found.append(_check(lambda held: fits(pattern, held), "The value does not fit the pattern"))
    found.extend(_bounds(element))
    return found


def _check(holds: Any, text: str) -> Check:
    issue = (Issue("error", "value", text),)

    def check(item: Item, _run: Run) -> Issues:
        return NOTHING if holds(item.value) else issue

    return check


def _bounds(element: Mapping[str, Any]) -> list[Check]:
    """Give the checks of the longest text and of the least and greatest value of a number."""
    found: list[Check] = []
    longest = element.get("maxLength")
    if isinstance(longest, int):
        text = f"The text is longer than {longest} characters"
        found.append(_check(lambda v: not isinstance(v, str) or len(v) <= longest, text))
    least, greatest = stated(element, "minValue"), stated(element, "maxValue")
    if least is not None:
        found.append(_check(lambda v: _order(v, least) != -1, "The value is too small"))
    if greatest is not None:
        found.append(_check(lambda v: _order(v, greatest) != 1, "The value is too great"))
    return found


def _order(value: Any, bound: Any) -> int | None:
    """Compare a number, a Quantity in commensurable units, or a date; None where that cannot be told."""
    if isinstance(value, dict) and isinstance(bound, dict):
        value, bound = _amount(value), _amount(bound)
        if value is None or bound is None or value[1] != bound[1]:
            return None
        value, bound = value[0], bound[0]
    elif isinstance(value, str) and isinstance(bound, str):
        size = min(len(value), len(bound))
        value, bound = value[:size], bound[:size]
    elif not (_is_number(value) and _is_number(bound)):
        return None
    return int(value > bound) - int(value < bound)


def _amount(quantity: Mapping[str, Any]) -> tuple[Fraction, object] | None:
    """Give the value of a Quantity in base units, and their dimensions."""
    value: Any = quantity.get("value")
    if not _is_number(value):
        return None
    if quantity.get("system") != _UCUM:
        return Fraction(value), quantity.get("code")
    try:
        unit = ucum.parse(str(quantity.get("code", "1")))
    except ucum.UnknownUnit:
        return Fraction(value), quantity.get("code")
    return (Fraction(value) + unit.offset) * unit.factor, unit.dimensions


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | dict | list) and value is not None
