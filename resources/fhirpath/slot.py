"""Where in JSON an element stands: values with their extensions, read and written (FHIR R4 json.html).

A primitive's values and their ids and extensions are two properties, in lists two arrays of one length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resources.fhirpath.item import Item, Step

Pair = tuple[Any, dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Slot:
    """One property of an object, or the two of a primitive element."""

    holder: dict[str, Any]
    property: str
    repeats: bool
    primitive: bool

    def read(self) -> list[Pair]:
        """Give the values with their extensions, none where the element is absent."""
        value, extra = self.holder.get(self.property), self.holder.get("_" + self.property)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not self.primitive:
            return [(held, None) for held in values]
        extras = extra if isinstance(extra, list) else [] if extra is None else [extra]
        longest = max(len(values), len(extras))
        return list(zip(_padded(values, longest), _padded(extras, longest), strict=True))

    def write(self, pairs: list[Pair]) -> None:
        """Put values with their extensions in place of what is there; an empty list removes the element."""
        self._write(self.property, [value for value, _ in pairs])
        if self.primitive:
            self._write("_" + self.property, [extra or None for _, extra in pairs])

    def _write(self, name: str, values: list[Any]) -> None:
        if all(value is None for value in values):
            self.holder.pop(name, None)
        else:
            self.holder[name] = values if self.repeats else values[0]


def _padded(values: list[Any], length: int) -> list[Any]:
    return values + [None] * (length - len(values))


def below(holder: dict[str, Any], step: Step) -> Slot:
    """Give the slot of a step in an object."""
    return Slot(holder, step.property, step.repeats, step.primitive)


def of(item: Item) -> Slot | None:
    """Give the slot that an item is in; None for a whole resource and for what was computed."""
    if item.parent is None or item.step is None:
        return None
    holder = item.parent.value if isinstance(item.parent.value, dict) else item.parent.extra
    return None if holder is None else below(holder, item.step)


def place(item: Item) -> int:
    """Give the place of an item in its slot."""
    return item.index or 0


def holder_of(item: Item) -> dict[str, Any]:
    """Give the object that holds what is below an item; a primitive without one is given one."""
    if isinstance(item.value, dict):
        return item.value
    if item.extra is None:
        item.extra = {}
        slot = of(item)
        if slot is not None:
            pairs = slot.read()
            pairs[place(item)] = (pairs[place(item)][0], item.extra)
            slot.holder["_" + slot.property] = (
                [extra for _, extra in pairs] if slot.repeats else item.extra
            )
    return item.extra


def remove(item: Item) -> None:
    """Take an item out of its resource, and what is empty without it, up to the resource."""
    slot = of(item)
    if slot is None or item.parent is None:
        return
    pairs = slot.read()
    del pairs[place(item)]
    slot.write(pairs)
    if slot.holder or item.parent.parent is None:
        return
    if isinstance(item.parent.value, dict):
        remove(item.parent)
        return
    above = of(item.parent)
    if above is not None:  # a primitive that keeps its value loses its empty extensions
        above.write([(v, e) for v, e in above.read() if v is not None or e])
