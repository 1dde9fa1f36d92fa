"""How MongoDB runs the queries of a plan, told for a person: indexes, keys and documents looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from bson import json_util

from fhir_server.store.mongo.compile import Query
from fhir_server.store.mongo.view import Database

_NAMES: Final = frozenset({"tenant", "type", "a"})
"""The fields that hold no data of patients: a name of index entries is a path."""


async def told(database: Database, queries: Sequence[Query], limit: int | None) -> str:
    """Run each query and tell it, its steps and its costs."""
    lines = [f"{len(queries)} queries"]
    for query in queries:
        lines.append(json_util.dumps(shape(query.where)))
        answer = await database.command(
            "explain", _command(query, limit), verbosity="executionStats"
        )
        for name, value in _costs(answer):
            lines.append(f"  {name} {value}")
    return "\n".join(lines)


def shape(condition: Any) -> Any:
    """Give a condition without its values: links become lists of ids, and these are nobody's business."""
    if isinstance(condition, dict):
        return {
            name: value if name in _NAMES and isinstance(value, str) else shape(value)
            for name, value in condition.items()
        }
    if not isinstance(condition, list):
        return "?"
    if any(isinstance(one, dict) for one in condition):
        return [shape(one) for one in condition]
    return f"{len(condition)} values"


def _command(query: Query, limit: int | None) -> dict[str, Any]:
    if query.stages:
        stages = [{"$match": query.where}, *query.stages]
        return {"aggregate": "resources", "pipeline": stages, "cursor": {}}
    command = {"find": "resources", "filter": query.where, "sort": dict(query.order)}
    command["projection"] = {"index": 0}
    return command if limit is None else {**command, "limit": limit}


def _costs(answer: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the steps of the winning plan and what running it cost; an aggregation nests them."""
    if "stages" in answer:
        answer = answer["stages"][0]["$cursor"]
    plan = answer["queryPlanner"]["winningPlan"]
    yield "steps", " < ".join(_steps(plan.get("queryPlan", plan)))
    ran = answer["executionStats"]
    yield "keys examined", ran["totalKeysExamined"]
    yield "documents examined", ran["totalDocsExamined"]
    yield "returned", ran["nReturned"]


def _steps(plan: dict[str, Any]) -> Iterator[str]:
    index = plan.get("indexName")
    yield f"{plan['stage']} {index}" if index else str(plan["stage"])
    for inner in (*plan.get("inputStages", ()), plan.get("inputStage")):
        if inner is not None:
            yield from _steps(inner)
