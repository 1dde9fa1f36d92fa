"""Collections over plain JSON whose types are known before anything is read (FHIR R4 fhirpath.html).

A collection has a branch for each type that it may hold. Values are the JSON itself, so nothing is made for
them; a primitive that has extensions only is a `Bare`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resources.fhirpath.within import Bare, Within

Get = Callable[[Any, Within], list[Any]]
One = Callable[[Any, Within], Any]

ANYTHING = "descendants()"
"""The type of values of any type, which elements that are no choice can be taken of."""


class Undecided(ValueError):
    """The types do not tell enough to compile the expression; it has to be evaluated."""


@dataclass(frozen=True, slots=True)
class Branch:
    """The items of one type; `one` gives the only item or None where there is never more than one.

    `key` is the property of the focus that a single step reads, the empty string for any other branch;
    `values` are those that are always the same.
    """

    type: str
    get: Get
    one: One | None = None
    key: str = ""
    primitive: bool = False
    values: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """Branches, of which at most one gives something unless they were united."""

    branches: tuple[Branch, ...]
    united: bool = False

    def only(self) -> Branch:
        """Give the one branch there is; raises Undecided for none or several."""
        if len(self.branches) != 1:
            raise Undecided("several types")
        return self.branches[0]

    def get(self) -> Get:
        """Give what lists all items, whatever their types."""
        if len(self.branches) == 1:
            return self.branches[0].get
        getters = tuple(branch.get for branch in self.branches)
        return lambda this, within: [v for get in getters for v in get(this, within)]


def this(type_name: str, *, primitive: bool) -> Collection:
    """Give the focus itself."""
    return Collection((Branch(type_name, _listed, _itself, "", primitive),))


def _itself(value: Any, _: Within) -> Any:
    return value


def _listed(value: Any, _: Within) -> list[Any]:
    return [value]


def constant(values: tuple[Any, ...], type_name: str) -> Branch:
    """Give values that are always the same."""
    listed = list(values)

    def one(_value: Any, _within: Within) -> Any:
        return values[0]

    only = one if len(values) == 1 else None
    return Branch(type_name, lambda _value, _within: listed, only, "", True, values)  # noqa: FBT003


def single(type_name: str, one: One) -> Branch:
    """Give a branch of at most one item, which is computed."""

    def get(value: Any, within: Within) -> list[Any]:
        found = one(value, within)
        return [] if found is None else [found]

    return Branch(type_name, get, one, "", primitive=True)


def child(parent: Branch, name: str, type_name: str, *, repeats: bool, primitive: bool) -> Branch:
    """Give what a property leads to from each item of the parent."""
    read = _primitives if primitive else _values
    above, only = parent.get, parent.one
    if only is None:
        return Branch(
            type_name,
            lambda value, within: [v for held in above(value, within) for v in read(held, name)],
            primitive=primitive,
        )

    def get(value: Any, within: Within) -> list[Any]:
        held = only(value, within)
        return [] if held is None else read(held, name)

    one = None if repeats else _one(only, name, primitive=primitive)
    key = name if above is _listed else ""
    return Branch(type_name, get, one, key, primitive)


def kept(branch: Branch, criterion: Callable[[Any, Within], bool | None]) -> Branch:
    """Give where(): the items that a criterion is true of."""
    get = branch.get
    return Branch(
        branch.type,
        lambda value, within: [v for v in get(value, within) if criterion(v, within)],
        primitive=branch.primitive,
    )


def through(branch: Branch, inner: Branch) -> Branch:
    """Give select(): what another branch makes of each item."""
    above, below = branch.get, inner.get
    return Branch(
        inner.type,
        lambda value, within: [v for held in above(value, within) for v in below(held, within)],
        primitive=inner.primitive,
    )


def _one(above: One, name: str, *, primitive: bool) -> One:
    if above is _itself:
        return _own(name, primitive=primitive)
    companion = "_" + name

    def one(value: Any, within: Within) -> Any:
        held = above(value, within)
        return held.get(name) if type(held) is dict else None

    def one_primitive(value: Any, within: Within) -> Any:
        held = above(value, within)
        if type(held) is not dict:
            return None
        found = held.get(name)
        if found is None and companion in held:
            return Bare(held[companion])
        return found

    return one_primitive if primitive else one


def _own(name: str, *, primitive: bool) -> One:
    """Give what reads a property of the focus itself, as nearly every rule does."""
    companion = "_" + name

    def one(value: Any, _: Within) -> Any:
        return value.get(name) if type(value) is dict else None

    def one_primitive(value: Any, _: Within) -> Any:
        if type(value) is not dict:
            return None
        found = value.get(name)
        return Bare(value[companion]) if found is None and companion in value else found

    return one_primitive if primitive else one


def _values(holder: Any, name: str) -> list[Any]:
    if type(holder) is not dict:  # a resource inside the resource, whose own structure is wrong
        return []
    found = holder.get(name)
    if found is None:
        return []
    return found if type(found) is list else [found]


def _primitives(holder: Any, name: str) -> list[Any]:
    if type(holder) is not dict:
        return []
    found, extra = holder.get(name), holder.get("_" + name)
    if extra is None:
        if found is None:
            return []
        return found if type(found) is list else [found]
    if type(extra) is not list:
        return [Bare(extra) if found is None else found]
    held = found if type(found) is list else [None] * len(extra)
    return [
        Bare(more) if value is None else value
        for value, more in zip(held, extra, strict=False)
        if value is not None or more is not None
    ]
