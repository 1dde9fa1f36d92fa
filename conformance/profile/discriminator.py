"""Where a discriminator's path leads, in data and in profiles (FHIR R4 profiling.html#discriminator)."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from conformance.profile.element_tree import Node
from conformance.profile.item import Item, element_of, of_resource, reach
from conformance.profile.run import Run
from conformance.profile.snapshot import SnapshotFault, Snapshots, type_profiles
from conformance.profile.values import stated
from resources import reference as references
from resources.definitions import Definitions

_STEP = re.compile(
    r"\$this|(?P<resolve>resolve\(\))|ofType\((?P<type>[\w.]+)\)"
    r"|extension\(['\"](?P<extension>[^'\"]+)['\"]\)|(?P<name>[A-Za-z]\w*)(?:\[x\])?"
)


class Step(NamedTuple):
    """One step: what it does (name, ofType, extension, resolve) and with what."""

    kind: str
    text: str = ""


def steps(path: str) -> tuple[Step, ...] | None:
    """Read a discriminator's path; None where it is not of the restricted FHIRPath."""
    found: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or match.end() == at:
            return None
        if match["resolve"]:
            found.append(Step("resolve"))
        elif match["type"]:
            found.append(Step("ofType", match["type"].removeprefix("FHIR.")))
        elif match["extension"]:
            found.append(Step("extension", match["extension"]))
        elif match["name"]:
            found.append(Step("name", match["name"]))
        at = match.end()
        if at < len(path) and path[at] != ".":
            return None
        at += 1
    return tuple(found)


class Walk:
    """Follows steps through items, and through the elements of profiles."""

    def __init__(self, definitions: Definitions, snapshots: Snapshots) -> None:
        self._definitions = definitions
        self._snapshots = snapshots

    # --- data ---

    def items(self, item: Item, path: Sequence[Step], run: Run) -> list[Item]:
        """Give the items that a path leads to from one."""
        found = [item]
        for step in path:
            found = [below for held in found for below in self._below(held, step, run)]
        return found

    def _below(self, item: Item, step: Step, run: Run) -> Iterable[Item]:
        match step.kind:
            case "resolve":
                return _resolved(item, run)
            case "ofType":
                return (item,) if item.type == step.text else ()
            case "extension":
                found = self._named(item, "extension")
                return [held for held in found if held.holder.get("url") == step.text]
            case _:
                return self._named(item, step.text)

    def _named(self, item: Item, name: str) -> Iterable[Item]:
        element = element_of(self._definitions, item.type, name)
        if element is None:
            return ()
        return reach(self._definitions, item.type, element).items(item.holder)

    # --- definitions ---

    def nodes(self, node: Node, path: Sequence[Step]) -> list[Node]:
        """Give the elements of a profile that a path leads to; none where the profile says nothing."""
        found = [node]
        for step in path:
            found = [below for held in found for below in self._defined(held, step)]
        return found

    def _defined(self, node: Node, step: Step) -> Iterable[Node]:
        match step.kind:
            case "resolve":
                return self._targets(node)
            case "ofType":
                held = [t for t in node.types if t.get("code") == step.text]
                typed = [s for s in node.all_slices() if _has_type(s, step.text)]
                return [node, *typed] if held else typed
            case "extension":
                return self._extension(node, step.text)
            case _:
                return self._child(node, step.text)

    def _child(self, node: Node, name: str) -> list[Node]:
        held = node.child(name) or self._profiled(node, name)
        return [] if held is None else [held, *held.all_slices()]

    def _profiled(self, node: Node, name: str) -> Node | None:
        """Give a child that the profile of the element's only type defines."""
        profiles = [url for held in node.types for url in type_profiles(held)]
        if len(profiles) != 1:
            return None
        try:
            return self._snapshots.of(profiles[0]).child(name)
        except SnapshotFault:
            return None

    def _extension(self, node: Node, url: str) -> list[Node]:
        held = node.child("extension")
        return [s for s in (held.all_slices() if held else ()) if url in extension_urls(s)]

    def _targets(self, node: Node) -> list[Node]:
        found = []
        for held in node.types:
            for url in held.get("targetProfile", ()):
                try:
                    found.append(self._snapshots.of(url.partition("|")[0]))
                except SnapshotFault:
                    continue
        return found


def extension_urls(node: Node) -> list[str]:
    """Give the URLs that an element of type Extension is fixed to, by its url or its profile."""
    url = node.child("url")
    fixed = stated(url.element, "fixed") if url else None
    if isinstance(fixed, str):
        return [fixed]
    return [url for held in node.types for url in type_profiles(held)]


def _has_type(node: Node, code: str) -> bool:
    return any(held.get("code") == code for held in node.types)


def _resolved(item: Item, run: Run) -> list[Item]:
    """Give what a reference leads to; where it leads out of here, an empty thing of the type it names."""
    text = item.holder.get("reference") if isinstance(item.value, dict) else item.value
    if not isinstance(text, str):
        return []
    found = run.resolve(text)
    if found is not None:
        return [of_resource(found)._replace(suffix="")]
    named = item.holder.get("type") if isinstance(item.value, dict) else None
    type_ = references.parse(text).type or (named if isinstance(named, str) else None)
    return [Item({}, None, type_)] if type_ else []
