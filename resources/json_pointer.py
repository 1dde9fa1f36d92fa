"""JSON Pointer: text to steps through JSON, and what is there (RFC 6901)."""

import re
from typing import Any

from resources.outcome import Invalid, Unprocessable

_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)
END = "-"

Steps = tuple[str, ...]


def parse(text: str) -> Steps:
    """Give the steps of a pointer, none for the whole document; raises Invalid."""
    if not text:
        return ()
    if not text.startswith("/") or _ESCAPE.search(text):
        raise Invalid("A JSON Pointer begins with / and writes ~ as ~0 and / as ~1 (RFC 6901)")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def find(document: Any, steps: Steps) -> Any:
    """Give the value that steps lead to; raises Unprocessable where there is none."""
    for step in steps:
        document = _child(document, step)
    return document


def _child(value: Any, step: str) -> Any:
    if isinstance(value, dict) and step in value:
        return value[step]
    if isinstance(value, list):
        return value[index(value, step)]
    raise Unprocessable("Nothing is at a path of the patch", issue="not-found")


def index(values: list[Any], step: str, *, beyond: bool = False) -> int:
    """Give the index that a step names in a list, its end too where `beyond`; raises Unprocessable."""
    if step == END and beyond:
        return len(values)
    if not _INDEX.fullmatch(step) or int(step) >= len(values) + beyond:
        raise Unprocessable("A path of the patch leads past the end of a list", issue="not-found")
    return int(step)
