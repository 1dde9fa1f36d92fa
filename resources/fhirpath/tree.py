"""From an item to those below it, typed from the definitions (FHIRPath N1 5.8, FHIR R4 fhirpath.html).

A choice such as deceased[x] is reached by its name without the type. A primitive's id and extensions, which
JSON keeps in a property of their own, are its children.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from resources.definitions import Definitions
from resources.fhirpath.faults import SemanticFault
from resources.fhirpath.item import STRING, Item, Step
from resources.fhirpath.system import is_a

_ABSTRACT = frozenset({"Resource", "DomainResource"})
_TYPE_INFO = "System.TypeInfo"


class Tree:
    """The elements of every type, as steps through JSON; one tree serves all evaluations."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._steps: dict[str, dict[str, tuple[Step, ...]]] = {}

    def root(self, resource: dict[str, Any]) -> Item:
        """Give a resource as an item; one of an unknown type is a Resource."""
        return Item(resource, self._resource_type(resource))

    def _resource_type(self, value: Any) -> str:
        name = value.get("resourceType") if isinstance(value, dict) else None
        known = isinstance(name, str) and self.definitions.kind(name) == "resource"
        return name if known and isinstance(name, str) else "Resource"

    def is_a(self, held: str, name: str) -> bool:
        """Tell whether a type is another, or specialises it."""
        return is_a(self.definitions, held, name)

    def steps(self, type_name: str) -> dict[str, tuple[Step, ...]]:
        """Give the steps below a type by element name, a choice having one a type; none if it is unknown."""
        known = self._steps.get(type_name)
        if known is None:
            known = self._steps[type_name] = self._found(type_name)
        return known

    def _found(self, type_name: str) -> dict[str, tuple[Step, ...]]:
        if type_name == _TYPE_INFO:
            parts = ("namespace", "name")
            return {n: (Step(n, n, STRING, repeats=False, primitive=False),) for n in parts}
        if self.definitions.kind(type_name.partition(".")[0]) is None:
            return {}
        return {
            name: tuple(self._element(type_name, name))
            for name in self.definitions.children(type_name)
        }

    def _element(self, type_name: str, name: str) -> Iterator[Step]:
        element = self.definitions.children(type_name)[name]
        repeats = element.max != 1
        for property_, held in self.definitions.json_names(element).items():
            content = self.definitions.content(type_name, element, held)
            primitive = self.definitions.kind(content) == "primitive"
            yield Step(name, property_, content, repeats, primitive, element)

    def named(self, items: Sequence[Item], name: str, *, strict: bool) -> list[Item]:
        """Give the children of a name; strictly, one that none of the items' types has is a SemanticFault."""
        found: list[Item] = []
        known = False
        for item in items:
            steps = self.steps(item.type).get(name)
            if steps is not None:
                known = True
                for step in steps:
                    self._take(item, step, found)
        if strict and not known and items:
            raise SemanticFault(f"no element {name} in {items[0].type}")
        return found

    def children(self, items: Iterable[Item]) -> list[Item]:
        """Give everything directly below the items, in the order of the definitions."""
        found: list[Item] = []
        for item in items:
            for steps in self.steps(item.type).values():
                for step in steps:
                    self._take(item, step, found)
        return found

    def _take(self, item: Item, step: Step, found: list[Item]) -> None:
        """Collect what a step leads to, the values of primitives together with their extensions."""
        holder = item.value if isinstance(item.value, dict) else item.extra
        if not isinstance(holder, dict):
            return
        value = holder.get(step.property)
        extra = holder.get("_" + step.property) if step.primitive else None
        if isinstance(value, list) or isinstance(extra, list):
            self._take_list(item, step, (value or (), extra or ()), found)
        elif value is not None or isinstance(extra, dict):
            found.append(self._item(item, step, value, extra, None))

    def _take_list(
        self, item: Item, step: Step, lists: tuple[Sequence[Any], Sequence[Any]], found: list[Item]
    ) -> None:
        values, extras = (held if isinstance(held, list) else () for held in lists)
        for index in range(max(len(values), len(extras))):
            value = values[index] if index < len(values) else None
            extra = extras[index] if index < len(extras) else None
            if value is not None or extra is not None:
                found.append(self._item(item, step, value, extra, index))

    def _item(self, parent: Item, step: Step, value: Any, extra: Any, index: int | None) -> Item:
        held = step.type
        if held in _ABSTRACT:
            held = self._resource_type(value)
        return Item(value, held, extra if isinstance(extra, dict) else None, parent, step, index)

    def resource_of(self, item: Item) -> Item:
        """Give the resource that an item is in: itself, or the nearest around it."""
        holders = (i for i in item.ancestors() if self.definitions.kind(i.type) == "resource")
        return next(holders, item)

    def root_of(self, item: Item) -> Item:
        """Give the resource that holds an item's resource where that is contained, else that resource."""
        resource = self.resource_of(item)
        if resource.step is not None and resource.step.name == "contained" and resource.parent:
            return self.resource_of(resource.parent)
        return resource
