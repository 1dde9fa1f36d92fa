"""The paths of search parameters in one form, and where they lead (FHIR R4 searchparameter.html)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fhir_server.search import datatype_values
from fhir_server.search.expression import Kind
from fhir_server.search.index_values import Source
from resources.definitions import Definitions
from resources.fhirpath.compile import Compiler
from resources.fhirpath.expression import Binary, Call, External, Index, Node, Path, TypeTest
from resources.fhirpath.steps import Branch


class Paths:
    """Leads from a path on a type to its branches."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiler = Compiler(definitions)

    def source(self, type: str, kind: Kind, node: Node) -> Source | None:
        """Give where the path leads on the type; an extension is read as its value."""
        if not self._compiler.branches(node, type):
            return None
        path = self.canonical(node, Path(None, type))
        branches = self._compiler.branches(path, type)
        if all(branch.type == "Extension" for branch in branches):
            path = Path(path, "value")
            branches = self._compiler.branches(path, type)
        return _source(str(path), kind, branches)

    def inside(self, element: Path, held: Branch, kind: Kind, node: Node) -> Source | None:
        """Give where a path leads from one repetition of an element; its name begins at the resource."""
        branches = self._compiler.branches(node, held.type)
        return _source(str(self.canonical(node, element)), kind, branches)

    def element(self, type: str, node: Node) -> tuple[Path, Branch] | None:
        """Give the path of an element and its one branch; None where the type is not meant."""
        branches = self._compiler.branches(node, type)
        path = self.canonical(node, Path(None, type))
        return (path, branches[0]) if branches and isinstance(path, Path) else None

    def repeats(self, path: Path) -> bool:
        """Tell whether the element of a plain path may be there more than once."""
        return path.target is not None and (
            self._maximum(path) != 1
            or (isinstance(path.target, Path) and self.repeats(path.target))
        )

    def _maximum(self, path: Path) -> int | None:
        names = str(path).split(".")
        (held,) = {b.type for b in self._compiler.branches(path.target or path, names[0])}
        return self._definitions.children(held)[path.name].max

    def canonical(self, node: Node, root: Node) -> Node:
        """Write a path in one way: from the root, with ofType for as."""
        match node:
            case Path(None, name) if self._definitions.kind(name) == "resource":
                found: Node = root
            case External("resource"):
                found = root
            case TypeTest("as", operand, name):
                found = Call(self.canonical(operand, root), "ofType", (self._named(name),))
            case Call(target, "as", (argument,)):
                found = self.canonical(TypeTest("as", target or root, str(argument)), root)
            case Binary(operator, left, right):
                found = Binary(operator, self.canonical(left, root), self.canonical(right, root))
            case Path(target) | Call(target) | Index(target) if target is not None:
                found = replace(node, target=self.canonical(target, root))
            case Path() | Call():
                found = replace(node, target=root)
            case _:
                found = node
        return found

    def _named(self, name: str) -> Path:
        """Name a type as it is defined: R4 writes DateTime where it means dateTime."""
        known = self._definitions.kind(name) is not None
        return Path(None, name if known else name[:1].lower() + name[1:])


def _source(name: str, kind: Kind, branches: tuple[Branch, ...]) -> Source | None:
    kept = tuple(b for b in branches if datatype_values.indexed(kind, b.type))
    return Source(name, kind, kept) if kept else None


def union(node: Node) -> Iterator[Node]:
    """Give the paths that an expression unites."""
    match node:
        case Binary("|", left, right):
            yield from union(left)
            yield from union(right)
        case _:
            yield node


def without_resolve(node: Node) -> tuple[Node, tuple[str, ...]]:
    """Split a trailing where(resolve() is X) from a path: the path and X."""
    match node:
        case Call(Path() as path, "where", (TypeTest("is", Call(None, "resolve", ()), name),)):
            return path, (name,)
        case _:
            return node, ()


def of_resource(node: Node) -> bool:
    """Tell whether a path begins at %resource, whatever its context is."""
    match node:
        case External("resource"):
            return True
        case Path(target) | Call(target) if target is not None:
            return of_resource(target)
        case _:
            return False
