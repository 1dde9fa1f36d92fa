"""The elements of a profile compiled to closures: only what it says beyond R4 (FHIR R4 profiling.html).

Base validation has checked the rest, so that a profile costs no more than its own rules.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from conformance.profile.binding import Membership, binding_checks
from conformance.profile.constraint import Constraints
from conformance.profile.discriminator import Walk
from conformance.profile.element_tree import CHOICE, Node
from conformance.profile.item import ABSTRACT, Item, Property, Reach, element_of, is_a, reach
from conformance.profile.matching import Matching
from conformance.profile.run import NOTHING, Check, Issues, Run, failed, within
from conformance.profile.slicing import Slice, Slicing
from conformance.profile.snapshot import type_profiles
from conformance.profile.targets import Conforms, TypeOf, target_checks
from conformance.profile.values import value_checks
from resources.definitions import Definitions, Element
from resources.outcome import Issue


class Ports(NamedTuple):
    """What compiled checks ask: the type of a canonical, conformance to it, membership of codes."""

    type_of: TypeOf
    conforms: Conforms
    membership: Membership


class Bounds(NamedTuple):
    """How many items an element may have, as far as R4 does not say it; None where it does."""

    min: int | None
    max: int | None


class Compiler:
    """Compiles the tree of one StructureDefinition."""

    def __init__(
        self,
        definitions: Definitions,
        walk: Walk,
        constraints: Constraints,
        ports: Ports,
        root: Node,
    ) -> None:
        self._definitions = definitions
        self._constraints = constraints
        self._ports = ports
        self._root = root
        self._matching = Matching(definitions, walk, self, ports.conforms)
        self._made: dict[tuple[int, str, bool], Check | None] = {}
        self._making: set[tuple[int, str, bool]] = set()

    def check(self, node: Node, path: str, known: Element | None = None) -> Check | None:
        """Give the check of an item of an element whose type is at `path`; None where it has none."""
        key = (id(node), path, known is None)
        if key in self._making:  # a contentReference leads back here
            return self._later(key)
        if key not in self._made:
            self._making.add(key)
            self._made[key] = _all(self._parts(node, path, known))
            self._making.discard(key)
        return self._made[key]

    def _later(self, key: tuple[int, str, bool]) -> Check:
        """Give a check that looks for the one being made when it is run."""

        def check(item: Item, run: Run) -> Issues:
            made = self._made.get(key)
            return NOTHING if made is None else made(item, run)

        return check

    def _parts(self, node: Node, path: str, known: Element | None) -> list[Check]:
        element = node.element
        parts = value_checks(element)
        parts += binding_checks(element, known, self._ports.membership)
        parts += self._constraints.checks(element)
        if node is not self._root:
            parts += self._profiled(node, known)
            ports = (self._ports.type_of, self._ports.conforms)
            parts += target_checks(self._definitions, node.types, known, ports)
        referred = self._referred(element.get("contentReference"))
        if referred is not None and not node.children:
            inner = self.check(referred, path)
            return parts if inner is None else [*parts, inner]
        for child in node.children.values():
            found = self._child(child, path)
            if found is not None:
                parts.append(found)
        return parts

    def _profiled(self, node: Node, known: Element | None) -> list[Check]:
        """Give the check of type.profile, by the code of the type."""
        stated = {held.profile for held in (known.types if known else ())}
        by_code: dict[str, list[str]] = {}
        for held in node.types:
            urls = type_profiles(held)
            if urls and not {url.rpartition("/")[2] for url in urls} <= stated:
                by_code[held["code"]] = urls
        if not by_code:
            return []
        conforms = self._ports.conforms
        others = {held["code"] for held in node.types} - by_code.keys()

        def check(item: Item, run: Run) -> Issues:
            """Give no issues if the element fits one of its type's profiles, else those of the only one."""
            urls = next((u for code, u in by_code.items() if self._is(item.type, code)), None)
            if urls is None or item.type in others:
                return NOTHING
            found = [conforms(item, url, run) for url in urls]
            if len(found) == 1 or not all(map(failed, found)):
                return next((issues for issues in found if not failed(issues)), found[0])
            text = "The element fits none of the profiles allowed: "
            return (Issue("error", "structure", text + ", ".join(urls)),)

        return [check]

    def _is(self, held: str, code: str) -> bool:
        return held == code or is_a(self._definitions, held, code)

    def _referred(self, reference: str | None) -> Node | None:
        """Give the element of this profile that a contentReference means."""
        if reference is None:
            return None
        node: Node | None = self._root
        for name in reference.partition("#")[2].split(".")[1:]:
            node = node.children.get(name.partition(":")[0]) if node else None
        return node

    # --- children ---

    def _child(self, node: Node, path: str) -> Check | None:
        name = node.name.removesuffix(CHOICE)
        known = element_of(self._definitions, path, name)
        if known is None:
            return None
        reached = reach(self._definitions, path, known)
        bounds = _bounds(node.element, known)
        inner = {
            held.type: self.check(node, held.type, known)
            for held in reached.properties
            if self._has(node, held)
        }
        checks = {type_: check for type_, check in inner.items() if check is not None}
        allowed = self._allowed(node, known, reached)
        slicing = self.slicing(node, path, known)
        if bounds == Bounds(None, None) and not checks and allowed is None and slicing is None:
            return None
        return _Child(reached, bounds, checks, allowed, slicing, self._is).check

    @staticmethod
    def _has(node: Node, held: Property) -> bool:
        codes = {t.get("code", "") for t in node.types}
        return held.type in codes or "." in held.type or not codes or len(codes) == 1

    def _allowed(self, node: Node, known: Element, reached: Reach) -> frozenset[str] | None:
        """Give the types that are allowed, where those are fewer than R4's."""
        codes = frozenset(held.get("code", "") for held in node.types)
        if not codes or known.content_reference:
            return None
        if known.choice:
            return codes if codes < {held.code for held in known.types} else None
        if reached.properties[0].type in ABSTRACT and not codes & ABSTRACT:
            return codes
        return None

    def slicing(self, node: Node, path: str, known: Element) -> Slicing | None:
        """Give the slicing of an element, None where it has no slices."""
        if not node.slices:
            return None
        rules = node.element.get("slicing") or _implied(node)
        slices = []
        for held in node.slices.values():
            matches = self._matching.of(node, held, rules, path)
            slices.append(self._slice(held, matches, path, known))
        return Slicing(rules, slices)

    def _slice(self, node: Node, matches: Any, path: str, known: Element) -> Slice:
        reached = reach(self._definitions, path, known)
        checks = {
            held.type: found
            for held in reached.properties
            if self._has(node, held) and (found := self.check(node, held.type, known)) is not None
        }
        maximum = node.element.get("max", "*")
        return Slice(
            name=str(node.element.get("sliceName")),
            matches=matches,
            check=_by_type(checks, self._is) if checks else None,
            min=node.element.get("min", 0),
            max=None if maximum == "*" else int(maximum),
            slicing=self.slicing(node, path, known),
        )


class _Child:
    """The check of one element of a parent: how many, of which types, each of them, its slices."""

    __slots__ = ("_allowed", "_bounds", "_inner", "_is", "_is_resource", "_reached", "_slicing")

    def __init__(
        self,
        reached: Reach,
        bounds: Bounds,
        checks: Mapping[str, Check],
        allowed: frozenset[str] | None,
        slicing: Slicing | None,
        is_a_: Any,
    ) -> None:
        self._reached = reached
        self._bounds = bounds
        self._inner = _by_type(checks, is_a_) if checks else None
        self._allowed = allowed
        self._slicing = slicing
        self._is = is_a_
        self._is_resource = any(held.type in ABSTRACT for held in reached.properties)

    def check(self, item: Item, run: Run) -> Issues:
        """Give what is wrong with the element in a parent."""
        items = self._reached.items(item.holder)
        step = self._reached.step
        found: list[Issue] = []
        least, most = self._bounds
        if least is not None and len(items) < least:
            text = f"The profile needs {step} at least {least} time(s)"
            found.append(Issue("error", "required", text, f".{step}"))
        if most is not None and len(items) > most:
            text = f"The profile allows {step} at most {most} time(s)"
            found.append(Issue("error", "structure", text, f".{step}"))
        for held in items:
            if self._allowed is not None and not self._fits(held.type):
                text = f"The profile allows only {', '.join(sorted(self._allowed))}"
                found.append(Issue("error", "structure", text, held.suffix))
            elif self._inner is not None and (issues := self._one(held, run)):
                found.extend(within(held.suffix, issues))
        if self._slicing is not None:
            found.extend(self._slicing.check(items, step, run))
        return found or NOTHING

    def _one(self, item: Item, run: Run) -> Issues:
        inner = self._inner or _nothing
        return run.inside(item, inner) if self._is_resource else inner(item, run)

    def _fits(self, type_: str) -> bool:
        allowed = self._allowed or frozenset()
        return type_ in allowed or any(self._is(type_, code) for code in allowed)


def _by_type(checks: Mapping[str, Check], is_a_: Any) -> Check:
    if len(checks) == 1:
        (type_, only), *_ = checks.items()
        if "." in type_ or type_ in ABSTRACT:
            return only

    def check(item: Item, run: Run) -> Issues:
        found = checks.get(item.type)
        if found is None:
            found = next((c for type_, c in checks.items() if is_a_(item.type, type_)), _nothing)
        return found(item, run)

    return check


def _nothing(_item: Item, _run: Run) -> Issues:
    return NOTHING


def _all(parts: list[Check]) -> Check | None:
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]

    def check(item: Item, run: Run) -> Issues:
        found: list[Issue] = []
        for part in parts:
            if issues := part(item, run):
                found.extend(issues)
        return found or NOTHING

    return check


def _bounds(element: Mapping[str, Any], known: Element) -> Bounds:
    least = element.get("min", 0)
    maximum = element.get("max", "*")
    most = None if maximum == "*" else int(maximum)
    is_fewer = most is not None and (known.max is None or most < known.max)
    return Bounds(least if least > known.min else None, most if is_fewer else None)


def _implied(node: Node) -> Mapping[str, Any]:
    """Give the slicing that an element has where none is stated: extensions by url, choices by type."""
    if node.name.endswith(CHOICE):
        return {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}
    if node.name in {"extension", "modifierExtension"}:
        return {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}
    return {"rules": "open"}
