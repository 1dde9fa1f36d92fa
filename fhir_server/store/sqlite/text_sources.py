"""Where full-text searches begin: the text indexes, and the list of what is not in them yet."""

from __future__ import annotations

from fhir_server.search.expression import FullText, Text
from fhir_server.store.sqlite import texts
from fhir_server.store.sqlite.arms import Arm, Source, on_resources
from fhir_server.store.sqlite.conditions import Conditions


def written(conditions: Conditions, node: FullText, collection: int) -> Source:
    """Give the source of what has the words."""
    query = texts.asked(node, collection)
    listed = conditions.listed(node, "{0}")
    return Source(
        [
            _indexed(conditions, "fulltext", query, collection),
            _listed(conditions, listed, collection),
        ]
    )


def contained(conditions: Conditions, node: Text, query: str, collection: int) -> Source:
    """Give the source of what has all letters of a text, three by three; each is looked at then."""
    arms = [
        _indexed(conditions, "trigram", query, collection),
        _listed(conditions, f"instr({{0}}.texts, {conditions.bind(node.value)}) > 0", collection),
    ]
    for arm in arms:
        arm.require(conditions.check(node, arm.at))
    return Source(arms)


def _indexed(conditions: Conditions, index: str, query: str, collection: int) -> Arm:
    bind = conditions.bind
    alias, row, listed = bind.alias(), bind.alias(), bind.alias()
    table = f"{index} {alias} CROSS JOIN resource {row} ON {row}.rid = {alias}.rowid"
    arm = on_resources(bind, table, row, collection)
    arm.require(f"{alias}.{index} MATCH {bind(query)}")
    arm.require(f"NOT EXISTS(SELECT 1 FROM unindexed {listed} WHERE {listed}.rid = {alias}.rowid)")
    arm.distinct = True
    return arm


def _listed(conditions: Conditions, condition: str, collection: int) -> Arm:
    """Give the arm of the list; `condition` names its table {0}."""
    bind = conditions.bind
    alias, row = bind.alias(), bind.alias()
    table = f"unindexed {alias} CROSS JOIN resource {row} ON {row}.rid = {alias}.rid"
    arm = on_resources(bind, table, row, collection)
    arm.require(f"{alias}.place = {bind(texts.place(collection))}")
    arm.require(condition.format(alias))
    arm.distinct = True
    return arm
