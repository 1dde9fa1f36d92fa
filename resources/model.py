"""A resource as a JSON object: lossless parse and serialise (FHIR R4 json.html)."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

import msgspec

from resources import outcome

Resource = dict[str, Any]


class Written(Decimal):
    """A decimal that Python would write with other digits than it came with: 0.00000001, 1e2."""

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        """Keep the digits beside the value."""
        made = super().__new__(cls, text)
        made._text = text
        return made

    def __str__(self) -> str:
        return self._text


def decimal(text: str) -> Decimal:
    """Give a decimal that is written with these digits again; raises msgspec.ValidationError.

    One with an exponent is no larger, and no smaller, than what a double holds: nothing could compare or
    compute with it.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise msgspec.ValidationError(NO_NUMBER) from None
    if ("e" in text or "E" in text) and abs(value.adjusted()) > LARGEST_EXPONENT:
        raise msgspec.ValidationError(NO_NUMBER)
    return value if str(value) == text else Written(text)


def _with_negative_zero(text: str) -> Decimal:
    return Decimal("-0") if text == _MARK.decode() else decimal(text)


def _digits(value: object) -> msgspec.Raw:
    if isinstance(value, Written):
        return msgspec.Raw(str(value).encode())
    raise TypeError(f"{type(value).__name__} is no JSON")


LARGEST_EXPONENT: Final = 300
"""Of a number that is written with an exponent, the power of ten of its first digit, up or down."""
NO_NUMBER: Final = "A number has more digits, or a larger exponent, than are read here"
_decoder = msgspec.json.Decoder(float_hook=decimal)
_MARK: Final = b"-0e00000000000000000000"
"""How the decoder is given -0, which it would read as the integer 0."""
_MAYBE_NEGATIVE_ZERO = re.compile(rb"-0[\s,}\]]")
_NEGATIVE_ZERO = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|(?<![eE])-0(?=[\s,}\]])')
"""A string, which holds no number, or a number -0."""
_QUOTE, _BACKSLASH = b'"', b"\\"
_decoder_of_zeros = msgspec.json.Decoder(float_hook=_with_negative_zero)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_digits)


def parse(data: bytes) -> Resource:
    """Parse one resource; decimals keep their digits. Raises Invalid (structure) if it is none."""
    try:
        value = parse_json(data)
    except msgspec.ValidationError:  # of what is JSON only a number is ever refused
        raise outcome.Invalid(NO_NUMBER, issue="value") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise outcome.Invalid(
            f"The body is not JSON: {_position(fault)}", issue="structure"
        ) from None
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        raise outcome.Invalid(
            "The body is not a resource: a JSON object with resourceType is needed",
            issue="structure",
        )
    return value


def received(data: bytes) -> Resource:
    """Parse a resource that somebody sent: as parse, and no object may name a property twice.

    Raises Invalid. FHIR R4 json.html: names are unique; of two values one would be dropped in silence, and
    with it the quotes around its name. Written out as short as can be, what was read is as long only where
    nothing was dropped.
    """
    value = parse(data)
    refuse_twice(value, data)
    return value


def refuse_twice(value: object, data: bytes) -> None:
    """Refuse JSON whose value has lost a property that an object names twice; raises Invalid."""
    try:
        kept = serialise(value)
    except RecursionError:
        raise outcome.Invalid("The body is nested too deeply", issue="structure") from None
    if len(kept) != len(data) and _quotes(kept) != _quotes(data):
        raise outcome.Invalid("An object names one property twice", issue="structure")


def _quotes(data: bytes) -> int:
    """Count the quotes that stand around names and strings."""
    if _BACKSLASH not in data:
        return data.count(_QUOTE)
    if _BACKSLASH * 2 in data:
        data = data.replace(_BACKSLASH * 2, b"")
    return data.count(_QUOTE) - data.count(_BACKSLASH + _QUOTE)


def parse_json(data: bytes) -> Any:
    """Parse any JSON value, decimals keeping their digits; raises msgspec.DecodeError.

    Raises msgspec.ValidationError, which is one, for a number that is not read here.
    """
    value = _decoder.decode(data)
    if _MAYBE_NEGATIVE_ZERO.search(data) is None:
        return value
    marked = _NEGATIVE_ZERO.sub(lambda found: found[1] or _MARK, data)
    return value if len(marked) == len(data) else _decoder_of_zeros.decode(marked)


def serialise(value: object) -> bytes:
    """Give the JSON of a resource or any part of one, decimals with the digits they came with."""
    return _encoder.encode(value)


def copy(value: Any) -> Any:
    """Give a deep copy of JSON, which may be changed without touching the original."""
    if isinstance(value, dict):
        return {name: copy(part) for name, part in value.items()}
    if isinstance(value, list):
        return [copy(part) for part in value]
    return value


def plain(value: Any) -> Any:
    """Give a copy of JSON whose decimals are all Python's own, for libraries that know no other."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return Decimal(str(value)) if isinstance(value, Written) else value


def _position(fault: Exception) -> str:
    """Say where parsing stopped without echoing what was sent."""
    text = str(fault)
    return text if "byte" in text or "truncated" in text else type(fault).__name__
