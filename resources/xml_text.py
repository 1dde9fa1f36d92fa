"""The text of a primitive between JSON and XML: digits as written, characters escaped (FHIR R4 xml.html)."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from resources import model
from resources.xml_fault import Misfit

Written = Callable[[Any], str]
Read = Callable[[str], Any]

_SPECIAL = re.compile(r"[^ !#-%'-;=-~]")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPED = str.maketrans(
    {"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_WITH_PLUS = re.compile(r"\+[1-9][0-9]{0,17}\Z")
_SIGNED = frozenset(("integer", "positiveInt"))
"""What may be written with a plus in XML (datatypes.html#integer); JSON has no such number."""
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_NEGATIVE_ZERO = "-0"
_BOOLEANS = {"true": True, "false": False}
_INTEGERS = frozenset(("integer", "positiveInt", "unsignedInt"))


def escaped(value: Any) -> str:
    """Give a string as the inside of an attribute; raises Misfit for what XML has no character for."""
    if type(value) is not str:
        raise Misfit("Expected text", "value")
    if _SPECIAL.search(value) is None:
        return value
    if _ILLEGAL.search(value) is not None:
        raise Misfit("The text holds a character that XML does not have", "value")
    return value.translate(_ESCAPED)


def writer(code: str) -> Written:
    """Give what writes a primitive type's JSON value as text."""
    if code == "boolean":
        return _boolean
    if code == "decimal":
        return _decimal
    return _integer if code in _INTEGERS else escaped


def reader(code: str) -> Read | None:
    """Give what reads a primitive type's text as JSON; None where the text is the value."""
    if code == "boolean":
        return _read_boolean
    if code == "decimal":
        return _read_decimal
    if code in _SIGNED:
        return _read_signed
    return _read_integer if code in _INTEGERS else None


def _boolean(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise Misfit("Expected true or false", "value")


def _integer(value: Any) -> str:
    if type(value) is int or (isinstance(value, Decimal) and str(value) == _NEGATIVE_ZERO):
        return str(value)
    raise Misfit("Expected a whole number without fraction or exponent", "value")


def _decimal(value: Any) -> str:
    if isinstance(value, Decimal) or type(value) is int:
        return str(value)
    raise Misfit("Expected a number", "value")


def _read_boolean(text: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        raise Misfit("Expected true or false", "value")
    return value


def _read_integer(text: str) -> int | Decimal:
    if _INTEGER.match(text) is None:
        raise Misfit("Expected a whole number without fraction or exponent", "value")
    return Decimal(text) if text == _NEGATIVE_ZERO else int(text)


def _read_signed(text: str) -> int | Decimal:
    return int(text) if _WITH_PLUS.match(text) else _read_integer(text)


def _read_decimal(text: str) -> int | Decimal:
    if _INTEGER.match(text) is not None:
        return _read_integer(text)
    if _DECIMAL.match(text) is None:
        raise Misfit("Expected a number", "value")
    try:
        return model.decimal(text)
    except msgspec.ValidationError:
        raise Misfit(model.NO_NUMBER, "value") from None
