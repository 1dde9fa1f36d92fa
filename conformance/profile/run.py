"""One check of a resource as it goes: where references lead, what is warned of once, what is bounded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from conformance.profile.item import Item
from resources.fhirpath.environment import Environment
from resources.model import Resource
from resources.outcome import Issue

Issues = Sequence[Issue]
NOTHING: Issues = ()
Check = Callable[[Item, "Run"], Issues]
"""Gives what is wrong with an item; expressions are relative to the item."""

_DEEPEST = 40
_MOST_NESTED = 20_000


class Run:
    """What the checks of one resource share; `holder` is what contains the `resource` that is looked at."""

    __slots__ = (
        "_depth",
        "_nested",
        "_open",
        "_targets",
        "_told",
        "deferred",
        "environment",
        "holder",
        "resource",
        "root",
    )

    def __init__(self, root: Resource, environment: Environment) -> None:
        self.root = root
        self.resource = root
        self.holder = root
        self.environment = environment
        self._targets: Mapping[str, Resource] | None = None
        self._open: set[tuple[int, str]] = set()
        self._told: set[str] = set()
        self.deferred: list[Issue] = []
        self._depth = 0
        self._nested = 0

    def once(self, issue: Issue) -> Issues:
        """Give an issue the first time that its text comes up."""
        if issue.diagnostics in self._told:
            return NOTHING
        self._told.add(issue.diagnostics)
        return (issue,)

    def defer(self, issue: Issue) -> None:
        """Keep an issue that belongs to no place, to be told at the end, once."""
        self.deferred.extend(self.once(issue))

    def nested(self, item: Item, url: str, check: Check) -> Issues:
        """Check an item by another profile; a circle of profiles ends where it meets itself."""
        mark = (id(item.value), url)
        self._nested += 1
        if mark in self._open:
            return NOTHING
        if self._depth >= _DEEPEST or self._nested > _MOST_NESTED:
            return self.once(
                Issue("warning", "too-costly", f"Profiles go on too deep to be checked: {url}")
            )
        self._open.add(mark)
        self._depth += 1
        try:
            return check(item, self)
        finally:
            self._open.discard(mark)
            self._depth -= 1

    def inside(self, item: Item, check: Check) -> Issues:
        """Check a resource inside the one that is checked, as %resource of its rules."""
        if item.value is self.resource:
            return check(item, self)
        outer = self.resource, self.holder
        is_contained = item.suffix.startswith(".contained")
        self.holder = self.resource if is_contained else item.value
        self.resource = item.value
        try:
            return check(item, self)
        finally:
            self.resource, self.holder = outer

    def resolve(self, reference: str) -> Resource | None:
        """Give the contained resource or the Bundle's entry that a reference leads to."""
        if self._targets is None:
            self._targets = dict(_targets(self.root))
        return self._targets.get(reference)


def _targets(root: Resource) -> Iterator[tuple[str, Resource]]:
    for held in _objects(root.get("contained")):
        if isinstance(held.get("id"), str):
            yield f"#{held['id']}", held
    if root.get("resourceType") != "Bundle":
        return
    for entry in _objects(root.get("entry")):
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        if isinstance(resource.get("id"), str):
            yield f"{resource.get('resourceType')}/{resource['id']}", resource
        if isinstance(entry.get("fullUrl"), str):
            yield entry["fullUrl"], resource


def _objects(value: Any) -> list[dict[str, Any]]:
    return [held for held in value if isinstance(held, dict)] if isinstance(value, list) else []


def within(suffix: str, found: Issues) -> Issues:
    """Give issues with a place put before their relative expressions."""
    return [Issue(i.severity, i.code, i.diagnostics, suffix + (i.expression or "")) for i in found]


def failed(found: Issues) -> bool:
    """Tell whether any issue is an error."""
    return any(issue.severity in {"error", "fatal"} for issue in found)
