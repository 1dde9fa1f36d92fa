"""How much a chain asks for: references to any type multiply at each step (FHIR R4 search.html#chaining)."""

from collections.abc import Iterable
from typing import Final

from fhir_server.search.expression import And, Expression, Ids, Linked, LinkedFrom, Not, Or
from resources.outcome import TooCostly

MOST: Final = 20_000
"""The most nodes that one chain may come to."""


class Breadth:
    """Counts the nodes of a chain as it grows; refuses one that comes to too many."""

    def __init__(self) -> None:
        self._nodes = 0

    def add(self, node: Expression) -> None:
        """Count a part; raises TooCostly."""
        self._nodes += _nodes((node,), MOST)
        if self._nodes > MOST:
            raise TooCostly(
                "The chain leads through too many types, or to too many values: name the types,"
                " reference:Type.name"
            )


def exceeds(nodes: Iterable[Expression], most: int) -> bool:
    """Tell whether expressions come to more than so many nodes, each id that is asked for counted as one."""
    return _nodes(nodes, most) > most


def _nodes(nodes: Iterable[Expression], most: int) -> int:
    """Count nodes, until they are more than `most`."""
    waiting, count = list(nodes), 0
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        match one:
            case And(parts) | Or(parts):
                waiting.extend(parts)
            case Not(part):
                waiting.append(part)
            case Linked() | LinkedFrom():
                waiting.append(one.where)
            case Ids(ids):
                count += len(ids)
            case _:
                continue
    return count
