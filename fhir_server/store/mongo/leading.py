"""Which of several conditions leads: MongoDB follows an index of arrays by the first one that it is given.

The candidates are counted, up to a cap; a count is remembered for a minute, for it only decides on speed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from fhir_server.search.expression import (
    And,
    Branch,
    DateRange,
    Expression,
    FullText,
    Ids,
    Linked,
    LinkedFrom,
    Near,
    Number,
    Or,
    Plan,
    Quantity,
    Reference,
    Text,
    Token,
    Updated,
    Uri,
)
from fhir_server.store.mongo.conditions import ALL, NONE, Conditions, Resolved
from fhir_server.store.mongo.view import Document, View

CAP: Final = 256
_REMEMBERED_S: Final = 60.0
_MOST_REMEMBERED: Final = 10_000
_MOST: Final = 16
"""So many conditions are counted at most."""

_Asked = tuple[str, str, Expression]


class Leading:
    """Puts the rarest condition of every type of a plan first; keeps what it counted."""

    def __init__(self) -> None:
        self._counts: dict[_Asked, tuple[int, float]] = {}

    async def arrange(self, view: View, plan: Plan, resolved: Resolved) -> Plan:
        """Give the plan with its conditions in order; it is counted outside any transaction of the view."""
        outside = View(view.database)
        branches = [await self._branch(outside, plan.tenant, b, resolved) for b in plan.branches]
        return replace(plan, branches=tuple(branches))

    async def _branch(self, view: View, tenant: str, branch: Branch, resolved: Resolved) -> Branch:
        parts = list(_flat(branch.where))
        leads = [part for part in parts if _indexed(part)]
        leads = sorted(leads, key=_soon)[:_MOST] if len(leads) > _MOST else leads
        if len(leads) < 2:
            return Branch(branch.type, And((*leads, *(p for p in parts if p not in leads))))
        conditions = Conditions(tenant, branch.type, resolved)
        counts = await asyncio.gather(
            *(self._count(view, (tenant, branch.type, lead), conditions) for lead in leads)
        )
        ordered = [lead for _, lead in sorted(zip(counts, leads, strict=True), key=_first)]
        chosen = set(leads)
        return Branch(branch.type, And((*ordered, *(p for p in parts if p not in chosen))))

    async def _count(self, view: View, asked: _Asked, conditions: Conditions) -> int:
        tenant, type_, node = asked
        known = self._counts.get(asked)
        now = time.monotonic()
        if known is not None and now - known[1] < _REMEMBERED_S:
            return known[0]
        condition = conditions.of(node)
        if condition in (ALL, NONE):
            return 0 if condition == NONE else CAP
        stages: list[Document] = [
            {"$match": {"tenant": tenant, "type": type_, **condition}},
            {"$limit": CAP},
            {"$count": "n"},
        ]
        counted = sum(int(one["n"]) for one in await view.aggregate("resources", stages))
        if len(self._counts) >= _MOST_REMEMBERED:
            self._counts.clear()
        self._counts[asked] = counted, now
        return counted


def _soon(node: Expression) -> bool:
    """Tell whether a condition tends to be met by many."""
    return not isinstance(node, Ids | Reference | Token | Uri)


def _first(weighed: tuple[int, Expression]) -> int:
    return weighed[0]


def _flat(node: Expression) -> Iterable[Expression]:
    if isinstance(node, And):
        for part in node.parts:
            yield from _flat(part)
    else:
        yield node


def _indexed(node: Expression) -> bool:
    """Tell whether an index leads to what satisfies a node."""
    match node:
        case Token(code=code):
            return code is not None
        case Text(value=value, how=how):
            return how in {"exact", "same"} or (how == "starts" and bool(value))
        case Or(parts):
            return bool(parts) and all(_indexed(part) for part in parts)
        case FullText() | Reference() | Uri() | DateRange() | Number() | Quantity() | Updated():
            return True
        case Ids() | Linked() | LinkedFrom() | Near():
            return True
        case _:
            return False
