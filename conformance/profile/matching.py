"""How the items of a slice are known, by its discriminators (FHIR R4 profiling.html#discriminator)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from conformance.profile.discriminator import Step, Walk, extension_urls, steps
from conformance.profile.element_tree import Node
from conformance.profile.item import Item, is_a
from conformance.profile.run import Run, failed
from conformance.profile.slicing import Matches
from conformance.profile.snapshot import type_profiles
from conformance.profile.targets import Conforms
from conformance.profile.values import stated
from resources.definitions import Definitions
from resources.outcome import Issue

if TYPE_CHECKING:
    from conformance.profile.compile import Compiler

_URL = (Step("name", "url"),)


class Matching:
    """Compiles discriminators."""

    def __init__(
        self, definitions: Definitions, walk: Walk, compiler: "Compiler", conforms: Conforms
    ) -> None:
        self._definitions = definitions
        self._walk = walk
        self._compiler = compiler
        self._conforms = conforms

    def of(self, sliced: Node, node: Node, rules: Mapping[str, Any], path: str) -> Matches:
        """Give what tells whether an item is in a slice: all discriminators say so."""
        del path
        found = [self._one(node, held) for held in rules.get("discriminator", ())]
        tests = [test for test in found if test is not None]
        if not tests:
            return _untold(sliced.element["path"], str(node.element.get("sliceName")))
        if len(tests) == 1:
            return tests[0]
        return lambda item, run: all(test(item, run) for test in tests)

    def _one(self, node: Node, discriminator: Mapping[str, Any]) -> Matches | None:
        path = steps(discriminator.get("path", "$this"))
        if path is None:
            return None
        nodes = self._walk.nodes(node, path)
        match discriminator.get("type"):
            case "type":
                return self._typed(nodes, path)
            case "exists":
                return self._exists(nodes, path)
            case "profile":
                return self._profiled(node, path)
            case _:
                if path == _URL and (urls := extension_urls(node)):
                    return lambda item, _run: item.holder.get("url") in urls
                return self._valued(nodes, path)

    def _valued(self, nodes: Sequence[Node], path: Sequence[Step]) -> Matches | None:
        told = [node for node in nodes if _says(node)]
        if not told:
            return None
        walk, compiler = self._walk, self._compiler

        def matches(item: Item, run: Run) -> bool:
            for held in walk.items(item, path, run):
                checks = [compiler.check(node, held.type) for node in told]
                if not any(failed(check(held, run)) for check in checks if check is not None):
                    return True
            return False

        return matches

    def _typed(self, nodes: Sequence[Node], path: Sequence[Step]) -> Matches | None:
        codes = {held["code"] for node in nodes for held in node.types if "code" in held}
        codes |= {node.element["path"] for node in nodes if "." not in node.element["path"]}
        if not codes:
            return None
        walk, definitions = self._walk, self._definitions

        def matches(item: Item, run: Run) -> bool:
            return any(
                held.type in codes or any(is_a(definitions, held.type, code) for code in codes)
                for held in walk.items(item, path, run)
            )

        return matches

    def _exists(self, nodes: Sequence[Node], path: Sequence[Step]) -> Matches | None:
        is_there = any(node.element.get("min", 0) > 0 for node in nodes)
        is_absent = any(node.element.get("max") == "0" for node in nodes)
        if is_there == is_absent:
            return None
        walk = self._walk
        return lambda item, run: bool(walk.items(item, path, run)) is is_there

    def _profiled(self, node: Node, path: Sequence[Step]) -> Matches | None:
        """Match by conformance; where the path ends in resolve(), of the reference's target."""
        led = bool(path) and path[-1].kind == "resolve"
        nodes = self._walk.nodes(node, path[:-1] if led else path)
        types = [held for n in nodes for held in n.types]
        if led:
            urls = [url.partition("|")[0] for t in types for url in t.get("targetProfile", ())]
        else:
            urls = [url for held in types for url in type_profiles(held)]
        if not urls:
            return None
        walk, conforms = self._walk, self._conforms

        def matches(item: Item, run: Run) -> bool:
            return any(
                not failed(conforms(held, url, run))
                for held in walk.items(item, path, run)
                for url in urls
            )

        return matches


def _says(node: Node) -> bool:
    """Tell whether an element, or one below it, has a fixed value, a pattern or a required binding."""
    element = node.element
    if stated(element, "fixed") is not None or stated(element, "pattern") is not None:
        return True
    bound = element.get("binding", {})
    if bound.get("strength") == "required" and bound.get("valueSet"):
        return True
    return any(_says(child) for child in node.children.values())


def _untold(path: str, name: str) -> Matches:
    issue = Issue("warning", "not-supported", f"What is in slice {name} of {path} cannot be told")

    def matches(_item: Item, run: Run) -> bool:
        run.defer(issue)
        return False

    return matches
