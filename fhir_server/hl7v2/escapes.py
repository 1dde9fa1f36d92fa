"""Escape sequences in text fields (HL7 v2.5.1 §2.7)."""

import re
from typing import NamedTuple


class Separators(NamedTuple):
    """MSH-1 and MSH-2: field, component, repetition, escape and subcomponent characters."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPACES = re.compile(r"\.(sp|ti|in|sk)([+-]?\d{0,3})", re.IGNORECASE)
_LAYOUT = {"H": "", "N": "", ".fi": "", ".nf": "", ".ce": "\n", ".br": "\n"}


def unescape(text: str, separators: Separators, codec: str) -> str:
    """Give the text with escape sequences resolved; those that are not known or not ended stay as sent."""
    mark = separators.escape
    if not mark or mark not in text:
        return text
    parts = text.split(mark)
    out = [parts[0]]
    index = 1
    while index < len(parts):
        found = _resolve(parts[index], separators, codec) if index + 1 < len(parts) else None
        if found is None:
            out.append(mark + parts[index])
            index += 1
        else:
            out.append(found + parts[index + 1])
            index += 2
    return "".join(out)


def clean(text: str) -> str:
    """Give the text without outer white space and without characters that FHIR strings cannot hold."""
    text = text.strip()
    return text if text.isprintable() else _CONTROL.sub("", text).strip()


def _resolve(name: str, separators: Separators, codec: str) -> str | None:
    """Give what an escape sequence stands for, or None if it is not one."""
    named = {
        "F": separators.field,
        "S": separators.component,
        "T": separators.subcomponent,
        "R": separators.repetition,
        "E": separators.escape,
        "P": "#",
    }
    if name in named:
        return named[name]
    if name in {"H", "N"} or name.lower() in _LAYOUT:
        return _LAYOUT[name if name in {"H", "N"} else name.lower()]
    if name[:1] == "X":
        return _hexadecimal(name[1:], codec)
    spaces = _SPACES.fullmatch(name)
    return _space(spaces) if spaces else None


def _hexadecimal(digits: str, codec: str) -> str | None:
    """Give the characters of a hexadecimal escape, in the message's character set."""
    try:
        return bytes.fromhex(digits).decode(codec)
    except (ValueError, UnicodeDecodeError):
        return None


def _space(found: re.Match[str]) -> str:
    """Give the lines of .sp and .sk, the indent of .in and .ti as nothing."""
    kind, count = found[1].lower(), int(found[2] or 1)
    if kind == "sp":
        return "\n" * max(count, 1)
    return " " * max(count, 1) if kind == "sk" else ""
