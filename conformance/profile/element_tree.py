"""The elements of a StructureDefinition as a tree with slices (FHIR R4 elementdefinition.html#id)."""

from collections.abc import Iterator, Sequence
from typing import Any

from resources.model import copy

ElementDefinition = dict[str, Any]
CHOICE = "[x]"


class Node:
    """One element: its definition, what it holds by name, and its slices by name (reslices below them)."""

    __slots__ = ("children", "element", "slices")

    def __init__(self, element: ElementDefinition) -> None:
        self.element = element
        self.children: dict[str, Node] = {}
        self.slices: dict[str, Node] = {}

    @property
    def name(self) -> str:
        """Give the last step of the path: `value[x]` for a choice."""
        path: str = self.element["path"]
        return path.rpartition(".")[2]

    @property
    def types(self) -> list[dict[str, Any]]:
        """Give the types that the element may have."""
        found: list[dict[str, Any]] = self.element.get("type", [])
        return found

    def child(self, name: str) -> "Node | None":
        """Give a child by its name, a choice also by its name without [x]."""
        return self.children.get(name) or self.children.get(name + CHOICE)

    def copied(self, path: str) -> "Node":
        """Give a deep copy whose elements stand below another path."""
        made = Node({**copy(self.element), "path": path})
        made.children = {n: c.copied(f"{path}.{n}") for n, c in self.children.items()}
        made.slices = {n: s.copied(path) for n, s in self.slices.items()}
        return made

    def walk(self) -> Iterator["Node"]:
        """Give the node and all below it, in the order of a snapshot."""
        yield self
        for child in self.children.values():
            yield from child.walk()
        for held in self.slices.values():
            yield from held.walk()

    def all_slices(self) -> Iterator["Node"]:
        """Give the slices and their reslices."""
        for held in self.slices.values():
            yield held
            yield from held.all_slices()

    def sliced(self, name: str) -> "Node | None":
        """Give a slice by its name, a reslice `a/b` below the slice `a`."""
        held, _, rest = name.partition("/")
        found = self.slices.get(name)
        if found is None and rest and held in self.slices:
            found = self.slices[held].slices.get(name)
        return found


def tree(elements: Sequence[ElementDefinition]) -> Node:
    """Give the tree of a snapshot's elements, which come in order and lack no parent."""
    root = Node(elements[0])
    last = {elements[0]["path"]: root}
    for element in elements[1:]:
        path = element["path"]
        parent_path, _, name = path.rpartition(".")
        parent = last.get(parent_path)
        if parent is None:
            continue
        node = last[path] = Node(element)
        slice_name = element.get("sliceName")
        if slice_name is None or name not in parent.children:
            parent.children[name] = node
        else:
            _add_slice(parent.children[name], slice_name, node)
    return root


def _add_slice(sliced: Node, name: str, node: Node) -> None:
    outer, _, rest = name.partition("/")
    holder = sliced.slices[outer] if rest and outer in sliced.slices else sliced
    holder.slices[name] = node


def elements(root: Node) -> Iterator[ElementDefinition]:
    """Give the elements of a tree in the order of a snapshot, each with its id."""
    return _listed(root, root.element["path"])


def _listed(node: Node, identity: str) -> Iterator[ElementDefinition]:
    yield {"id": identity, **{n: v for n, v in node.element.items() if n != "id"}}
    yield from _below(node, identity)
    yield from _slices(node, identity)


def _below(node: Node, identity: str) -> Iterator[ElementDefinition]:
    for name, child in node.children.items():
        yield from _listed(child, f"{identity}.{name}")


def _slices(node: Node, identity: str) -> Iterator[ElementDefinition]:
    for name, held in node.slices.items():
        own = f"{identity}:{name}"
        yield {"id": own, **{n: v for n, v in held.element.items() if n != "id"}}
        yield from _below(held, own)
        yield from _slices(held, identity)


class Steps:
    """Gives the (name, slice) steps below the root that each element of a differential takes.

    They are in its id; without one, an element stands in the slice that its path's last mention began.
    """

    def __init__(self) -> None:
        self._last: dict[str, str | None] = {}

    def of(self, element: ElementDefinition) -> list[tuple[str, str | None]]:
        """Give the steps of the next element."""
        path: str = element["path"]
        names = path.split(".")[1:]
        parts = str(element.get("id", "")).split(".")[1:]
        if len(parts) == len(names):
            found = [(n, _slice_of(part)) for n, part in zip(names, parts, strict=True)]
        else:
            found = list(self._remembered(path))
        if found and "sliceName" in element:
            found[-1] = (found[-1][0], element["sliceName"])
        self._last = {p: s for p, s in self._last.items() if not p.startswith(f"{path}.")}
        self._last[path] = element.get("sliceName")
        return found

    def _remembered(self, path: str) -> Iterator[tuple[str, str | None]]:
        held, *names = path.split(".")
        for name in names:
            held = f"{held}.{name}"
            yield name, None if held == path else self._last.get(held)


def _slice_of(part: str) -> str | None:
    _, colon, name = part.partition(":")
    return name if colon else None
