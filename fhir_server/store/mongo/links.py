"""Chains and reverse chains resolved beforehand: each link is a query whose answer becomes an `$in`.

No `$lookup`: it can neither be bounded nor run between shards. A link that leads to more than MOST_LINKED
resources is refused as too costly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from fhir_server.search.expression import And, Expression, Linked, LinkedFrom, Not, Or, Plan
from fhir_server.store.mongo import listed
from fhir_server.store.mongo.conditions import NONE, Conditions
from fhir_server.store.mongo.keys import Filter, begins, entry
from fhir_server.store.mongo.view import View
from resources.outcome import TooCostly

MOST_LINKED: Final = 10_000

_AT_ONCE: Final = 200

Found = dict[tuple[str, Linked | LinkedFrom | Or], tuple[str, ...]]
_Many = TypeVar("_Many", list[Any], dict[str, None])


def linked(node: Expression) -> bool:
    """Tell whether an expression holds a link, or so many alternatives that they are resolved like one."""
    match node:
        case Linked() | LinkedFrom():
            return True
        case Or() if listed.many(node):
            return True
        case And(parts) | Or(parts):
            return any(linked(part) for part in parts)
        case Not(part):
            return linked(part)
        case _:
            return False


async def resolve(view: View, plan: Plan) -> Found:
    """Give what the links of a plan lead to; raises TooCostly."""
    links = _Links(view, plan.tenant)
    for branch in plan.branches:
        await links.resolve(branch.where, branch.type)
    for through in (through for key in plan.sort for through in key.through):
        await links.resolve(through.where, through.type)
    return links.found


class _Links:
    """The links of one plan, innermost first."""

    def __init__(self, view: View, tenant: str) -> None:
        self._view = view
        self._tenant = tenant
        self.found: Found = {}

    async def resolve(self, node: Expression, type: str) -> None:
        """Resolve the links in an expression on resources of a type."""
        match node:
            case And(parts) | Or(parts):
                for group in listed.many(node) if isinstance(node, Or) else ():
                    whole = Or(tuple(group))
                    if (type, whole) not in self.found:
                        self.found[type, whole] = await self._listed(group, type)
                for part in parts:
                    await self.resolve(part, type)
            case Not(part):
                await self.resolve(part, type)
            case Linked() | LinkedFrom():
                if (type, node) not in self.found:
                    await self.resolve(node.where, node.type)
                    seek = self._targets if isinstance(node, Linked) else self._sources
                    self.found[type, node] = await seek(node, type)
            case _:
                return

    async def _listed(self, nodes: Sequence[listed.Alternative], type: str) -> tuple[str, ...]:
        """Give the ids of the resources that satisfy one of many alternatives, some branches at a time."""
        here = {"tenant": self._tenant, "type": type}
        branches = Conditions(self._tenant, type, {}).branches(nodes)
        found: dict[str, None] = {}
        for start in range(0, len(branches), _AT_ONCE):
            some = [{**here, **branch} for branch in branches[start : start + _AT_ONCE]]
            stages: list[dict[str, Any]] = [
                {"$match": {"$or": some}},
                {"$limit": MOST_LINKED + 1},
                {"$project": {"_id": 0, "id": 1}},
            ]
            page = await self._view.aggregate("resources", stages, hint="values")
            found |= dict.fromkeys(one["id"] for one in page)
            _bounded(found)
        return tuple(found)

    async def _targets(self, node: Linked | LinkedFrom, _type: str) -> tuple[str, ...]:
        """Give the references to all resources that satisfy the link's condition."""
        where = self._where(node)
        if where is None:
            return ()
        stages: list[dict[str, Any]] = [
            {"$match": where},
            {"$limit": MOST_LINKED + 1},
            {"$project": {"_id": 0, "id": 1}},
        ]
        ids = [found["id"] for found in await self._view.aggregate("resources", stages)]
        return tuple(f"{node.type}/{id_}" for id_ in _bounded(ids))

    async def _sources(self, node: Linked | LinkedFrom, type: str) -> tuple[str, ...]:
        """Give the ids that the resources which satisfy the link's condition refer to by its atom."""
        where = self._where(node)
        if where is None:
            return ()
        name, here = entry("r", node.type, node.atom), f"{type}/"
        targets = {"$filter": {"input": "$index", "as": "e", "cond": {"$eq": ["$$e.a", name]}}}
        stages: list[dict[str, Any]] = [
            {"$match": where},
            {"$project": {"_id": 0, "to": targets}},
            {"$unwind": "$to"},
            {"$match": {"to.v": begins(here)}},
            {"$group": {"_id": "$to.v"}},
            {"$limit": MOST_LINKED + 1},
        ]
        found = await self._view.aggregate("resources", stages)
        return tuple(one["_id"].removeprefix(here) for one in _bounded(found))

    def _where(self, node: Linked | LinkedFrom) -> Filter | None:
        condition = Conditions(self._tenant, node.type, self.found).of(node.where)
        if condition == NONE:
            return None
        return {"tenant": self._tenant, "type": node.type, **condition}


def _bounded(found: _Many) -> _Many:
    if len(found) > MOST_LINKED:
        raise TooCostly(
            f"A chain, or a long list of values, leads through more than {MOST_LINKED} resources:"
            " narrow what it asks for"
        )
    return found
