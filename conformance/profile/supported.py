"""What a profile must support and a resource does not say (FHIR R4 profiling.html#mustsupport)."""

from collections.abc import Iterable
from typing import Any

from resources.model import Resource


def absent(resource: Resource, paths: Iterable[str]) -> tuple[str, ...]:
    """Give the paths, of elements marked mustSupport, that lead to nothing in a resource."""
    return tuple(
        path for path in dict.fromkeys(_plain(p) for p in paths) if not _has(resource, path)
    )


def _plain(path: str) -> str:
    return path.partition(":")[0].removesuffix("[x]")


def _has(resource: Resource, path: str) -> bool:
    found: list[Any] = [resource]
    for name in path.split(".")[1:]:
        found = [below for held in found for below in _below(held, name.removesuffix("[x]"))]
    return bool(found)


def _below(value: Any, name: str) -> Iterable[Any]:
    if not isinstance(value, dict):
        return
    for key, held in value.items():
        is_typed = key.startswith(name) and key[len(name) : len(name) + 1].isupper()
        if key.removeprefix("_") == name or is_typed:
            yield from held if isinstance(held, list) else (held,)
