"""Steps through JSON: the paths of many expressions in one visit of a resource (FHIR R4 json.html)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.definitions import Binding

Visit = Callable[[Any, Any], None]


@dataclass(frozen=True, slots=True)
class Child:
    """A step to a JSON property."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """A step to what a function gives for a value; steps are equal where their texts are."""

    text: str
    values: Callable[[Any], Iterable[Any]] = field(compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """The steps from a context to values of one type: a type's name, or a nested element's path.

    `targets` are the types that a Reference or canonical may lead to; empty or `Resource` is any.
    """

    steps: tuple[Child | Select, ...]
    type: str
    binding: Binding | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """Steps shared by many branches, with what to call on the values at their ends."""

    children: dict[str, Tree] = field(default_factory=dict)
    selects: dict[Select, Tree] = field(default_factory=dict)
    sinks: list[Visit] = field(default_factory=list)

    def add(self, steps: Iterable[Child | Select], sink: Visit) -> None:
        """Have `sink(value, out)` called on every value that the steps lead to."""
        node = self
        for step in steps:
            if isinstance(step, Child):
                node = node.children.setdefault(step.name, Tree())
            else:
                node = node.selects.setdefault(step, Tree())
        node.sinks.append(sink)

    def visitor(self) -> Visit:
        """Give the closure that visits a value once and calls every sink."""
        parts = list(self.sinks)
        if self.children:
            parts.append(_descend({name: tree.visitor() for name, tree in self.children.items()}))
        parts += [_select(step.values, tree.visitor()) for step, tree in self.selects.items()]
        return functools.reduce(_both, parts) if parts else _nothing


def _descend(children: Mapping[str, Visit]) -> Visit:
    find = children.get

    def descend(value: Any, out: Any) -> None:
        """Visit the members of an object that somebody asked for, each repetition for itself."""
        if type(value) is not dict:
            return
        for name, child in value.items():
            visit = find(name)
            if visit is None:
                continue
            if type(child) is list:
                for item in child:
                    visit(item, out)
            else:
                visit(child, out)

    return descend


def _select(values: Callable[[Any], Iterable[Any]], visit: Visit) -> Visit:
    def select(value: Any, out: Any) -> None:
        for chosen in values(value):
            visit(chosen, out)

    return select


def _both(first: Visit, second: Visit) -> Visit:
    def visit(value: Any, out: Any) -> None:
        first(value, out)
        second(value, out)

    return visit


def _nothing(value: Any, out: Any) -> None:
    """Visit a value that nothing asks for."""
