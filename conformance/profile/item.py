"""One value with its type and place, and how what it holds is reached in JSON (FHIR R4 json.html)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from resources.definitions import Definitions, Element
from resources.model import Resource

_MANY = 16
ABSTRACT = frozenset({"Resource", "DomainResource"})


class Item(NamedTuple):
    """A value, the companion that holds a primitive's extensions, the path of its type, and its step.

    `type` is a type name or the path of a nested element; `suffix` is what a place adds: `.name[0]`.
    """

    value: Any
    extra: Any
    type: str
    suffix: str = ""

    @property
    def holder(self) -> Mapping[str, Any]:
        """Give the object that holds what is below: the value, or a primitive's companion."""
        if isinstance(self.value, dict):
            return self.value
        return self.extra if isinstance(self.extra, dict) else {}


class Property(NamedTuple):
    """How one type of an element is found in JSON: its property, the path of its type, whether primitive."""

    name: str
    type: str
    primitive: bool


class Reach:
    """How an element is reached in JSON: its step, its properties, one a type, and whether it repeats."""

    __slots__ = ("_by_name", "_only", "_suffix", "_suffixes", "properties", "step")

    def __init__(self, step: str, properties: tuple[Property, ...]) -> None:
        self.step = step
        self.properties = properties
        self._suffix = f".{step}"
        self._suffixes = tuple(f".{step}[{index}]" for index in range(_MANY))
        self._only = properties[0] if len(properties) == 1 else None
        self._by_name = {held.name: held for held in properties}
        self._by_name |= {f"_{held.name}": held for held in properties if held.primitive}

    def items(self, holder: Mapping[str, Any]) -> list[Item]:
        """Give the items of the element in an object."""
        only = self._only
        if only is not None:
            value = holder.get(only.name)
            extra = holder.get(f"_{only.name}") if only.primitive else None
            return [] if value is None and extra is None else self._of(only, value, extra)
        found = {self._by_name[name] for name in holder if name in self._by_name}
        return [item for held in found for item in self._held(held, holder)]

    def _held(self, held: Property, holder: Mapping[str, Any]) -> list[Item]:
        extra = holder.get(f"_{held.name}") if held.primitive else None
        return self._of(held, holder.get(held.name), extra)

    def _of(self, held: Property, value: Any, extra: Any) -> list[Item]:
        if isinstance(extra, list) or (isinstance(value, list) and extra is not None):
            return list(self._listed(value, extra, held.type))
        any_resource = held.type in ABSTRACT
        if not isinstance(value, list):
            type_ = _actual(value, held.type) if any_resource else held.type
            return [Item(value, extra, type_, self._suffix)]
        if any_resource or len(value) > _MANY:
            return list(self._listed(value, extra, held.type))
        type_ = held.type
        places = zip(value, self._suffixes, strict=False)
        return [Item(one, None, type_, suffix) for one, suffix in places]

    def _listed(self, value: Any, extra: Any, type_: str) -> Iterator[Item]:
        values = value if isinstance(value, list) else ()
        extras = extra if isinstance(extra, list) else ()
        for index in range(max(len(values), len(extras))):
            one = values[index] if index < len(values) else None
            beside = extras[index] if index < len(extras) else None
            yield Item(one, beside, _actual(one, type_), f"{self._suffix}[{index}]")


def _actual(value: Any, type_: str) -> str:
    """Give the resource type of a resource that stands where any may."""
    if type_ in ABSTRACT and isinstance(value, dict):
        named = value.get("resourceType")
        return named if isinstance(named, str) else type_
    return type_


def reach(definitions: Definitions, path: str, element: Element) -> Reach:
    """Give how an element of a type or nested path is reached."""
    properties = []
    for name, held in definitions.json_names(element).items():
        content = definitions.content(path, element, held)
        properties.append(Property(name, content, definitions.kind(content) == "primitive"))
    return Reach(element.name, tuple(properties))


def element_of(definitions: Definitions, path: str, name: str) -> Element | None:
    """Give the element of a type or nested path, None where there is none or the type is not known."""
    kind = definitions.kind(path.partition(".")[0])
    if kind is None:
        return None
    try:
        return definitions.children(path).get(name)
    except KeyError:
        return None


def is_a(definitions: Definitions, held: str, wanted: str) -> bool:
    """Tell whether a type is another or specialises it."""
    step: str | None = held
    while step is not None and step != wanted:
        step = definitions.base(step)
    return step is not None


def of_resource(resource: Resource) -> Item:
    """Give a whole resource as an item; its place is its type."""
    name = resource.get("resourceType")
    type_ = name if isinstance(name, str) else "Resource"
    return Item(resource, None, type_, type_)
