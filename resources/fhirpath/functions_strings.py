"""Functions on strings, regular expressions in linear time (FHIRPath N1 5.6; encode to join are of 3.0)."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, RunawayFault, UnsupportedFault
from resources.fhirpath.function import Function, of_value, one, strings, table, values
from resources.fhirpath.item import Item
from resources.fhirpath.system import value_of

_Arguments = tuple[Run, ...]
_LONGEST_PATTERN = 4000
_MEMORY = 4 << 20
_COST_OF_A_MATCH = 10
_GROUP = re.compile(r"\$(\d)")
_BARE_QUOTE = re.compile(r'((?:^|[^\\])(?:\\\\)*)"')


@lru_cache(maxsize=512)
def pattern(text: str) -> Any:
    """Compile a regular expression for RE2, which never backtracks; raises UnsupportedFault, RunawayFault."""
    if len(text) > _LONGEST_PATTERN:
        raise RunawayFault("the regular expression is too long")
    options = re2.Options()
    options.dot_nl, options.log_errors, options.max_mem = True, False, _MEMORY
    try:
        return re2.compile(text, options)
    except re2.error:
        raise UnsupportedFault("the regular expression is wrong, or needs backtracking") from None


def _with_text(name: str, compute: Callable[[Focus, str, str], Any]) -> Function:
    """Give a function of a string and one string argument; empty on either side gives empty."""

    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        text, argument = one(items, str), one(arguments[0](focus), str)
        if text is None or argument is None:
            return []
        focus.state.spend(1 + len(text) // 1000)
        return values(compute(focus, text, argument))

    return Function(name, call, 1, 1)


def _replacing(name: str, compute: Callable[[Focus, str, str, str], str]) -> Function:
    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        text = one(items, str)
        old, new = (one(argument(focus), str) for argument in arguments)
        if text is None or old is None or new is None:
            return []
        return values(focus.state.short(compute(focus, text, old, new)))

    return Function(name, call, 2, 2)


def _replaced(focus: Focus, text: str, old: str, new: str) -> str:
    places = text.count(old)
    focus.state.room(len(text) + places * len(new))
    return text.replace(old, new)


def _replaced_matches(focus: Focus, text: str, regex: str, new: str) -> str:
    """Replace each match; $1 to $9 in what comes instead stand for the pattern's groups."""
    if not regex:
        return text
    pieces, end, size = [], 0, len(text)
    for match in pattern(regex).finditer(text):
        focus.state.spend(_COST_OF_A_MATCH)
        put = _GROUP.sub(lambda name, match=match: _group(match, int(name[1])), new)  # type: ignore[misc]
        size += len(put)
        focus.state.room(size)
        pieces += [text[end : match.start()], put]
        end = match.end()
    return "".join((*pieces, text[end:]))


def _group(match: Any, number: int) -> str:
    return (match[number] or "") if number <= match.re.groups else ""


def _substring(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    text, start = one(items, str), one(arguments[0](focus), int)
    length = one(arguments[1](focus), int) if len(arguments) > 1 else None
    if text is None or start is None or not 0 <= start < len(text):
        return []
    if length is None:
        return values(text[start:])
    return values(text[start : start + max(0, length)])


def _split(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    text, separator = one(items, str), one(arguments[0](focus), str)
    if text is None or separator is None:
        return []
    focus.state.spend(1 + (text.count(separator) if separator else len(text)))
    return strings(text.split(separator) if separator else text)


def _join(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    separator = one(arguments[0](focus), str) if arguments else ""
    texts = [value for value in map(value_of, items) if value is not None]
    if separator is None or not all(isinstance(text, str) for text in texts):
        raise EvaluationFault("join takes strings")
    focus.state.room(sum(len(str(text)) + len(separator) for text in texts))
    return values(separator.join(str(text) for text in texts)) if items else []


def _to_chars(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    text = one(items, str) or ""
    focus.state.spend(len(text))
    return strings(text)


def _encoded(_focus: Focus, text: str, form: str) -> str | None:
    match form:
        case "base64":
            return base64.b64encode(text.encode()).decode()
        case "urlbase64":
            return base64.urlsafe_b64encode(text.encode()).decode()
        case "hex":
            return text.encode().hex()
        case _:
            return None


def _decoded(_focus: Focus, text: str, form: str) -> str | None:
    try:
        match form:
            case "base64":
                return base64.b64decode(text, validate=True).decode()
            case "urlbase64":
                return base64.urlsafe_b64decode(text).decode()
            case "hex":
                return bytes.fromhex(text).decode()
            case _:
                return None
    except (binascii.Error, ValueError):
        return None


def _escaped(_focus: Focus, text: str, form: str) -> str | None:
    match form:
        case "html":
            return html.escape(text, quote=True)
        case "json":
            return json.dumps(text, ensure_ascii=False)[1:-1]
        case _:
            return None


def _unescaped(_focus: Focus, text: str, form: str) -> str | None:
    match form:
        case "html":
            return html.unescape(text)
        case "json":
            return _json_text(text)
        case _:
            return None


def _json_text(text: str) -> str | None:
    """Undo JSON's escapes; quotation marks that are not escaped may stand."""
    try:
        found = json.loads(_BARE_QUOTE.sub(r"\1\"", f" {text}").join(('"', '"')))
    except ValueError:
        return None
    return str(found)[1:]


STRING_FUNCTIONS = table(
    _with_text("indexOf", lambda _focus, text, part: text.find(part)),
    _with_text("startsWith", lambda _focus, text, part: text.startswith(part)),
    _with_text("endsWith", lambda _focus, text, part: text.endswith(part)),
    _with_text("contains", lambda _focus, text, part: part in text),
    _with_text("matches", lambda _focus, text, regex: bool(pattern(regex).search(text))),
    _with_text("matchesFull", lambda _focus, text, regex: bool(pattern(regex).fullmatch(text))),
    _with_text("encode", _encoded),
    _with_text("decode", _decoded),
    _with_text("escape", _escaped),
    _with_text("unescape", _unescaped),
    _replacing("replace", _replaced),
    _replacing("replaceMatches", _replaced_matches),
    of_value("upper", str, str.upper),
    of_value("lower", str, str.lower),
    of_value("length", str, len),
    of_value("trim", str, str.strip),
    Function("substring", _substring, 1, 2),
    Function("split", _split, 1, 1),
    Function("join", _join, 0, 1),
    Function("toChars", _to_chars),
)
