"""A plan told for a person: the expression tree of each type, the order, the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from fhir_server.search.expression import Plan

_INDENT = "  "


def told(plan: Plan) -> str:
    """Give a plan as lines of text; each node has its own, with what it holds below it."""
    lines = []
    for branch in plan.branches:
        lines += [branch.type, *(_INDENT + line for line in _lines(branch.where))]
    for key in plan.sort:
        lines += ["order", *(_INDENT + line for line in _lines(key))]
    lines.append(f"page of {plan.limit}" if plan.limit is not None else "all of them")
    return "\n".join(lines)


def _lines(node: Any) -> Iterator[str]:
    """Give a node's name with its plain fields, then, deeper, the nodes in it."""
    plain, inner = [], []
    for field in fields(node):
        value = getattr(node, field.name)
        nodes = _nodes(value)
        if nodes:
            inner += nodes
        elif value not in (None, (), ""):
            plain.append(f"{field.name}={value}")
    yield " ".join((type(node).__name__, *plain))
    for one in inner:
        yield from (_INDENT + line for line in _lines(one))


def _nodes(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, Struct)]
