"""One value of one search parameter to nodes, by the parameter's type (FHIR R4 search.html#ptypes)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from fhir_server.search import places, units
from fhir_server.search.expression import (
    NEVER,
    And,
    DateRange,
    Expression,
    Number,
    Prefix,
    Quantity,
    Reference,
    Text,
    Token,
    Uri,
    Within,
    both,
    either,
)
from fhir_server.search.parameters import Context, Parameter
from fhir_server.search.parse import prefixed, split, unescape
from resources import datatypes
from resources.outcome import Invalid, NotSupported

_TENTH = 10
_STRING = frozenset({"string"})


def plain(parameter: Parameter, value: str) -> Expression:
    """Give the meaning of one value without a modifier; raises Invalid for one the type cannot have."""
    lower = _BY_TYPE.get(parameter.type)
    if lower is None:
        raise NotSupported(f"The search parameter {parameter.code} is not offered")
    return lower(parameter, value)


def truth(values: Sequence[str]) -> bool:
    """Give what :missing was given; raises Invalid for anything but true or false."""
    if len(values) != 1 or values[0] not in {"true", "false"}:
        raise Invalid(":missing takes true or false", issue="value")
    return values[0] == "true"


def token_of(atom: str, value: str) -> Token:
    """Give the token node of `code`, `system|code`, `|code` or `system|` (search.html#token)."""
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) > 2 or not any(parts):
        raise Invalid("A token is written code, system|code, |code or system|", issue="value")
    if len(parts) == 1:
        return Token(atom, None, parts[0])
    return Token(atom, parts[0], parts[1] or None)


def _token(parameter: Parameter, value: str) -> Expression:
    asked = token_of("", value)
    if len(parameter.atoms) == 1:
        return _folded(asked, parameter.atoms[0].name, parameter.datatypes[0])
    held = zip(parameter.atoms, parameter.datatypes, strict=True)
    return either(_folded(asked, atom.name, types) for atom, types in held)


def _folded(token: Token, atom: str, datatypes: frozenset[str]) -> Token:
    """Give the token of an atom; of a plain string without its case, as it is indexed (search.html#token)."""
    if datatypes != _STRING or token.code is None:
        return Token(atom, token.system, token.code)
    return Token(atom, token.system, token.code.casefold())


def _string(parameter: Parameter, value: str) -> Expression:
    wanted = datatypes.normal(unescape(value))
    return either(Text(atom.name, wanted) for atom in parameter.atoms)


def _uri(parameter: Parameter, value: str) -> Expression:
    return either(Uri(atom.name, unescape(value)) for atom in parameter.atoms)


def date_bounds(value: str) -> tuple[Prefix, int, int]:
    """Give prefix and interval of a date value, widened by a tenth of its distance from now for ap."""
    prefix, text = prefixed(value)
    try:
        low, high = datatypes.interval(text)
    except ValueError:
        raise Invalid(
            "A date is written YYYY, YYYY-MM, YYYY-MM-DD or with a time", issue="value"
        ) from None
    if prefix == "ap":
        now = int(datetime.now(UTC).timestamp() * 1000)
        slack = max(abs(now - low), abs(now - high)) // _TENTH
        return prefix, low - slack, high + slack
    return prefix, low, high


def _date(parameter: Parameter, value: str) -> Expression:
    prefix, low, high = date_bounds(value)
    return either(DateRange(atom.name, prefix, low, high) for atom in parameter.atoms)


def _decimal(text: str) -> tuple[Decimal, Decimal, Decimal]:
    try:
        number = datatypes.decimal(text)
        return number, *datatypes.precision(number)
    except ValueError:
        raise Invalid("The value is not a number that can be compared", issue="value") from None


def _approximate(
    prefix: Prefix, number: Decimal, low: Decimal, high: Decimal
) -> tuple[Decimal, Decimal]:
    if prefix != "ap":
        return low, high
    slack = abs(number) / _TENTH
    return number - slack, number + slack


def _number(parameter: Parameter, value: str) -> Expression:
    prefix, text = prefixed(value)
    number, low, high = _decimal(text)
    low, high = _approximate(prefix, number, low, high)
    return either(Number(atom.name, prefix, number, low, high) for atom in parameter.atoms)


def _quantity(parameter: Parameter, value: str) -> Expression:
    parts = split(value, "|")
    if len(parts) not in {1, 3}:
        raise Invalid("A quantity is written number or number|system|code", issue="value")
    prefix, text = prefixed(parts[0])
    number, low, high = _decimal(text)
    low, high = _approximate(prefix, number, low, high)
    system, code = (unescape(p) or None for p in parts[1:]) if len(parts) == 3 else (None, None)
    scale = units.scale(code) if code is not None and system == units.UCUM else None
    if scale is None:
        asked = (number, low, high, system, code)
        return either(Quantity(atom.name, prefix, *asked) for atom in parameter.atoms)
    based = (scale.of(number), scale.of(low), scale.of(high))
    return either(Number(a.name + scale.suffix, prefix, *based) for a in parameter.atoms)


def reference_of(parameter: Parameter, value: str, type_: str | None = None) -> Expression:
    """Give the reference nodes of `id`, `Type/id` or a url, limited to a type by the modifier :[type]."""
    text = unescape(value)
    if "://" in text or text.startswith("urn:"):
        return either(Reference(atom.name, "", "", text) for atom in parameter.atoms)
    kind, slash, id_ = text.partition("/")
    if slash and (not id_ or "/" in id_):
        raise Invalid("A reference is written id, Type/id or an absolute URL", issue="value")
    if slash and parameter.targets and kind not in parameter.targets:
        return NEVER
    wanted = (kind,) if slash else ((type_,) if type_ else parameter.targets)
    if type_ and slash and kind != type_:
        return NEVER
    return either(
        Reference(atom.name, target, id_ if slash else text)
        for atom in parameter.atoms
        for target in wanted
    )


def _reference(parameter: Parameter, value: str) -> Expression:
    return reference_of(parameter, value)


def _composite(parameter: Parameter, value: str) -> Expression:
    """Give the meaning of values joined by $, all of them of one element (search.html#composite)."""
    values = split(value, "$")
    if len(values) != len(parameter.components) or not all(values):
        raise Invalid(
            f"{parameter.code} takes {len(parameter.components)} values joined by $", issue="value"
        )
    return either(_in_context(context, values) for context in parameter.contexts)


def _in_context(context: Context, values: list[str]) -> Expression:
    asked = [(p, plain(p.parameter, v)) for p, v in zip(context.parts, values, strict=True)]
    apart = tuple(node for _, node in asked)
    if not context.element:
        return both(apart)
    together = tuple(node for part, node in asked if not part.outside)
    return And((*apart, Within(context.element, both(together))))


def _special(parameter: Parameter, value: str) -> Expression:
    if not parameter.atoms:
        raise NotSupported(f"The search parameter {parameter.code} is not offered")
    return places.near(parameter, value)


_BY_TYPE: dict[str, Callable[[Parameter, str], Expression]] = {
    "token": _token,
    "string": _string,
    "uri": _uri,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "reference": _reference,
    "composite": _composite,
    "special": _special,
}
