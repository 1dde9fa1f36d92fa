"""The rules on contained resources and references to them (FHIR R4 references.html#contained)."""

from collections.abc import Iterator
from typing import Any

from resources.model import Resource
from resources.outcome import Issue


def issues(resource: Resource, expression: str) -> Iterator[Issue]:
    """Give what is wrong with a resource's contained ones, apart from their own structure."""
    held = resource["contained"]
    identified = {inner["id"] for inner in held if isinstance(inner.get("id"), str)}
    local = set(_local(resource))
    seen: set[str] = set()
    for index, inner in enumerate(held):
        at = f"{expression}.contained[{index}]"
        yield from _own(inner, at)
        identifier = inner.get("id")
        if identifier is None:
            yield Issue("error", "required", "A contained resource has an id", f"{at}.id")
        elif not isinstance(identifier, str):
            continue
        elif identifier in seen:
            text = "The id differs from that of every other contained resource"
            yield Issue("error", "duplicate", text, f"{at}.id")
        elif f"#{identifier}" not in local and not _refers_to_container(inner):
            text = "A contained resource is referred to by the resource or refers to it (dom-3)"
            yield Issue("error", "invariant", text, at)
        seen.add(identifier)
    if not local <= {"#", *(f"#{identifier}" for identifier in identified)}:
        yield from _dangling(resource, expression, identified)


def _own(inner: Resource, at: str) -> Iterator[Issue]:
    if "contained" in inner:
        text = "A contained resource contains no further ones (dom-2)"
        yield Issue("error", "invariant", text, f"{at}.contained")
    meta = inner.get("meta")
    if not isinstance(meta, dict):
        return
    for name in ("versionId", "lastUpdated"):
        if name in meta:
            text = "A contained resource has no version of its own (dom-4)"
            yield Issue("error", "invariant", text, f"{at}.meta.{name}")
    if "security" in meta:
        text = "A contained resource has no security label (dom-5)"
        yield Issue("error", "invariant", text, f"{at}.meta.security")


def _local(value: Any) -> Iterator[str]:
    """Give every string that may refer to a contained resource."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, str):
            if current.startswith("#"):
                yield current
        elif isinstance(current, dict):
            stack.extend(current.values())
        elif isinstance(current, list):
            stack.extend(current)


def _refers_to_container(inner: Resource) -> bool:
    return any(text == "#" for text in _local(inner))


def _dangling(resource: Resource, expression: str, identified: set[str]) -> Iterator[Issue]:
    """Give the references to contained resources that are not there."""
    stack: list[tuple[Any, str]] = [(resource, expression)]
    while stack:
        value, at = stack.pop()
        if isinstance(value, list):
            stack.extend((item, f"{at}[{index}]") for index, item in enumerate(value))
        elif isinstance(value, dict):
            found = value.get("reference")
            if isinstance(found, str) and found[:1] == "#" and found[1:] not in {"", *identified}:
                text = "The contained resource that this refers to is not there"
                yield Issue("error", "not-found", text, f"{at}.reference")
            stack.extend((item, f"{at}.{name}") for name, item in value.items())
