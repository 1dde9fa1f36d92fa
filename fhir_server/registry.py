"""The one mechanism by which declarations are found: ours in a package, others' as entry points."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


class NotADeclaration(TypeError):
    """A plug-in's entry point loads something that is not a declaration of its group's kind."""


def discover(package: ModuleType, kind: type[T], group: str) -> Iterator[T]:
    """Yield the public `kind` values declared in `package`, then those of plug-ins in `group`.

    A value that a module imports from another one is yielded once, where it was first met. Raises
    NotADeclaration for an entry point that loads anything else.
    """
    seen: set[int] = set()
    for info in iter_modules(package.__path__, package.__name__ + "."):
        for name, value in vars(import_module(info.name)).items():
            if isinstance(value, kind) and not name.startswith("_") and id(value) not in seen:
                seen.add(id(value))
                yield value
    for entry_point in entry_points(group=group):
        value = entry_point.load()
        if not isinstance(value, kind):
            raise NotADeclaration(f"{entry_point.value} in {group} is not a {kind.__name__}")
        yield value
