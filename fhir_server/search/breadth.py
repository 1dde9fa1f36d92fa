"""How much a chain asks for: references to any type multiply at each step (FHIR R4 search.html#chaining)."""

from typing import Final

from fhir_server.search.expression import And, Expression, Linked, LinkedFrom, Not, Or
from resources.outcome import TooCostly

MOST: Final = 20_000
"""The most nodes that one chain may come to."""


class Breadth:
    """Counts the nodes of a chain as it grows; refuses one that comes to too many."""

    def __init__(self) -> None:
        self._nodes = 0

    def add(self, node: Expression) -> None:
        """Count a part; raises TooCostly."""
        self._nodes += _nodes(node)
        if self._nodes > MOST:
            raise TooCostly(
                "The chain leads through too many types: name them, reference:Type.name"
            )


def _nodes(node: Expression) -> int:
    waiting, count = [node], 0
    while waiting:
        one = waiting.pop()
        count += 1
        match one:
            case And(parts) | Or(parts):
                waiting.extend(parts)
            case Not(part):
                waiting.append(part)
            case Linked() | LinkedFrom():
                waiting.append(one.where)
            case _:
                continue
    return count
