"""One item of an evaluated collection: its value, its type and its place in a resource (FHIRPath N1 1.1).

An item of a resource keeps the JSON that it stands for, so that what is found can be changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from resources.definitions import Element

BOOLEAN = "System.Boolean"
STRING = "System.String"
INTEGER = "System.Integer"
DECIMAL = "System.Decimal"
DATE = "System.Date"
DATE_TIME = "System.DateTime"
TIME = "System.Time"
QUANTITY = "System.Quantity"


@dataclass(frozen=True, slots=True)
class Step:
    """From a type to one of its elements in JSON: names, content type, whether it repeats or is primitive."""

    name: str
    property: str
    type: str
    repeats: bool
    primitive: bool
    element: Element | None = None


class Item:
    """A value with its type: an R4 type, the path of a nested element, or a System type.

    `extra` is the object that holds id and extension of a primitive. `parent`, `step` and `index` tell where
    it is; a value that was computed has none.
    """

    __slots__ = ("extra", "index", "parent", "step", "type", "value")

    def __init__(
        self,
        value: Any,
        type: str,
        extra: dict[str, Any] | None = None,
        parent: Item | None = None,
        step: Step | None = None,
        index: int | None = None,
    ) -> None:
        self.value = value
        self.type = type
        self.extra = extra
        self.parent = parent
        self.step = step
        self.index = index

    def __repr__(self) -> str:
        return f"Item({self.place} {self.type})"

    @property
    def place(self) -> str:
        """Give where the item is, as a FHIRPath expression with indexes: Patient.name[0].given[1].

        What was computed is nowhere and gives the empty string.
        """
        if self.step is None or self.parent is None:
            return "" if self.type.startswith("System.") else self.type
        above = self.parent.place
        return f"{above}.{self.step.name}" + ("" if self.index is None else f"[{self.index}]")

    def ancestors(self) -> Iterator[Item]:
        """Give the item, what holds it, and so on to the root."""
        item: Item | None = self
        while item is not None:
            yield item
            item = item.parent


def boolean(value: bool) -> Item:  # noqa: FBT001 - it is the value
    """Give a System.Boolean."""
    return Item(value, BOOLEAN)


def text(value: str) -> Item:
    """Give a System.String."""
    return Item(value, STRING)


def number(value: int | Decimal) -> Item:
    """Give a System.Integer or System.Decimal."""
    return Item(value, DECIMAL if isinstance(value, Decimal) else INTEGER)


TRUE = boolean(value=True)
FALSE = boolean(value=False)


def truth(value: bool | None) -> list[Item]:  # noqa: FBT001 - it is the value
    """Give a truth as a collection: None, the unknown, is empty."""
    if value is None:
        return []
    return [TRUE if value else FALSE]
