"""Slicing: which slice an item is in, in what order and how many (FHIR R4 profiling.html#slicing)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from conformance.profile.item import Item
from conformance.profile.run import NOTHING, Check, Issues, Run, within
from resources.outcome import Issue

Matches = Callable[[Item, Run], bool]
"""Tells whether an item is in a slice."""


class Slice(NamedTuple):
    """One slice: how its items are known, what they must satisfy, how many there are, its reslices."""

    name: str
    matches: Matches
    check: Check | None
    min: int
    max: int | None
    slicing: "Slicing | None"


class Slicing:
    """The slices of one element."""

    def __init__(self, rules: Mapping[str, Any], slices: Sequence[Slice]) -> None:
        self._slices = tuple(slices)
        self._rules = rules.get("rules", "open")
        self._ordered = rules.get("ordered", False)

    def check(self, items: Sequence[Item], step: str, run: Run) -> Issues:
        """Give what is wrong with the items of an element by its slices."""
        found: list[Issue] = []
        held: list[list[Item]] = [[] for _ in self._slices]
        last, outside = -1, False
        for item in items:
            index = self._index(item, run)
            if index is None:
                outside = True
                if self._rules == "closed":
                    text = "The element is in none of the slices, and there may be no other"
                    found.append(Issue("error", "structure", text, item.suffix))
                continue
            found.extend(self._placed(index, last, item, outside=outside))
            last = index
            held[index].append(item)
            check = self._slices[index].check
            if check is not None and (issues := check(item, run)):
                found.extend(within(item.suffix, issues))
        for one, inside in zip(self._slices, held, strict=True):
            found.extend(_counted(one, len(inside), step))
            if one.slicing is not None:
                found.extend(one.slicing.check(inside, step, run))
        return found or NOTHING

    def _index(self, item: Item, run: Run) -> int | None:
        for index, one in enumerate(self._slices):
            if one.matches(item, run):
                return index
        return None

    def _placed(self, index: int, last: int, item: Item, *, outside: bool) -> Issues:
        name = self._slices[index].name
        if self._ordered and index < last:
            text = f"The slice {name} comes after one that is to follow it"
            return (Issue("error", "structure", text, item.suffix),)
        if self._rules == "openAtEnd" and outside:
            text = f"The slice {name} comes after elements that are in no slice"
            return (Issue("error", "structure", text, item.suffix),)
        return NOTHING


def _counted(one: Slice, count: int, step: str) -> Issues:
    if count < one.min:
        text = f"The slice {one.name} is needed at least {one.min} time(s)"
        return (Issue("error", "required", text, f".{step}"),)
    if one.max is not None and count > one.max:
        text = f"The slice {one.name} may be there at most {one.max} time(s)"
        return (Issue("error", "structure", text, f".{step}"),)
    return NOTHING
