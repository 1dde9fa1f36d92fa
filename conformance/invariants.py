"""Every invariant of R4 on a resource: one visit, each type's rules compiled when it first comes.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from conformance import checks, corrections
from conformance.checks import Check, Policy, Visit
from conformance.invariant import Compiler, Rule
from conformance.prose import PROSE
from resources.definitions import Definitions, Element, Invariant
from resources.fhirpath.environment import Environment
from resources.fhirpath.faults import FhirPathFault
from resources.outcome import Issue

_NOTHING = Environment()
_MOST = 100  # of errors, and of warnings: what breaks a rule a million times is not told as often
_Tested = tuple[Callable[[Any, Visit], bool | None], Rule | Check]
_Right = Callable[[Any, Visit], bool]
_ABSTRACT = frozenset({"Resource", "DomainResource"})


class _Broken:
    """A broken rule; its place grows from the element towards the resource as the visit returns."""

    __slots__ = ("place", "rule")

    def __init__(self, rule: Rule | Check) -> None:
        self.rule = rule
        self.place = ""


class _Node:
    """A type or nested path: its own rules, and the elements below by their property names.

    `right` tells whether a value breaks no rule at all, `below` whether nothing below it does; they are made
    with the children.
    """

    __slots__ = ("below", "children", "path", "right", "rules")

    def __init__(self, path: str) -> None:
        self.path = path
        self.rules: tuple[_Tested, ...] = ()
        self.children: dict[str, _Edge] | None = None
        self.right: _Right
        self.below: _Right


class _Edge:
    """A property: the element's name, the rules of the element itself, and what its values are."""

    __slots__ = ("name", "node", "right", "rules")

    def __init__(self, name: str, node: _Node | None, rules: tuple[_Tested, ...]) -> None:
        self.name = name
        self.node = node
        self.rules = rules
        self.right = _right_at(rules, node)


class Invariants:
    """The invariants of every type."""

    def __init__(self, definitions: Definitions, policy: Policy) -> None:
        self._definitions = definitions
        self._policy = policy
        self._compiler = Compiler(definitions)
        self._nodes: dict[str, _Node] = {}

    def issues(
        self,
        resource: dict[str, Any],
        expression: str,
        root: dict[str, Any] | None = None,
        environment: Environment = _NOTHING,
    ) -> Iterator[Issue]:
        """Give the invariants that a resource breaks, whose structure is right.

        `expression` is where it stands; `root` is the resource that contains it. Resources inside it are not
        visited.
        """
        node = self._node(resource["resourceType"])
        if node.children is None:
            self._build(node)
        found: list[_Broken] = []
        within = _fresh(resource, root, environment)
        _test(node.rules, resource, within, found)
        if not _all_right(node, resource, within):
            found.clear()
            self._visit(node, resource, _fresh(resource, root, environment), found)
        for broken in found:
            yield broken.rule.issue(expression + broken.place)

    def _visit(self, node: _Node, value: Any, within: Visit, found: list[_Broken]) -> None:
        children = node.children
        if children is None:
            children = self._build(node)
        if node.rules:
            _test(node.rules, value, within, found)
        find = children.get
        for name, child in value.items():
            edge = find(name)
            if edge is None:
                continue
            before = len(found)
            if type(child) is list:
                self._visit_list(edge, child, within, found)
            else:
                if edge.rules:
                    _test(edge.rules, child, within, found)
                if edge.node is not None:
                    self._visit(edge.node, child, within, found)
            if len(found) > before:
                for broken in found[before:]:
                    broken.place = f".{edge.name}{broken.place}"

    def _visit_list(
        self, edge: _Edge, values: list[Any], within: Visit, found: list[_Broken]
    ) -> None:
        node, rules = edge.node, edge.rules
        for index, value in enumerate(values):
            if value is None:
                continue
            before = len(found)
            if rules:
                _test(rules, value, within, found)
            if node is not None:
                self._visit(node, value, within, found)
            if len(found) > before:
                for broken in found[before:]:
                    broken.place = f"[{index}]{broken.place}"

    # --- what is compiled -------------------------------------------------------------------------

    def prepare(self, type_name: str) -> None:
        """Compile the rules of a type and of all that it is made of now."""
        pending, seen = [self._node(type_name)], set[str]()
        while pending:
            node = pending.pop()
            if node.path in seen:
                continue
            seen.add(node.path)
            edges = node.children if node.children is not None else self._build(node)
            pending += [edge.node for edge in edges.values() if edge.node is not None]

    def _node(self, path: str) -> _Node:
        known = self._nodes.get(path)
        if known is None:
            known = self._nodes[path] = _Node(path)
            known.right = self._unbuilt(known)
        return known

    def _unbuilt(self, node: _Node) -> _Right:
        """Give what builds a node when its first value comes."""

        def right(value: Any, within: Visit) -> bool:
            self._build(node)
            return node.right(value, within)

        return right

    def _build(self, node: _Node) -> dict[str, _Edge]:
        """Compile a node's rules and list its edges; a thread that does so twice does no harm."""
        definitions = self._definitions
        edges: dict[str, _Edge] = {}
        for element in definitions.children(node.path).values():
            for name, type_ref in definitions.json_names(element).items():
                content = definitions.content(node.path, element, type_ref)
                edge = self._edge(node.path, element, content)
                if edge is not None:
                    edges[name] = edge
                if definitions.kind(content) == "primitive" and element.name != "id":
                    edges[f"_{name}"] = _Edge(element.name, self._node("Element"), ())
        node.rules = self._rules(self._own(node.path), node.path)
        node.below = _right_below(edges)
        node.right = _right_throughout(node.rules, node.below)
        node.children = edges
        return edges

    def _edge(self, path: str, element: Element, content: str) -> _Edge | None:
        if content in _ABSTRACT:
            return None
        stated = self._rules(self._of_element(path, element, content), content)
        of_resource = self._definitions.kind(path) == "resource" and element.name == "id"
        own = () if of_resource else checks.of_element(path, element.name, content, self._policy)
        rules = (*((_keeps(check), check) for check in own), *stated)
        is_primitive = self._definitions.kind(content) == "primitive"
        node = None if is_primitive else self._node(content)
        return _Edge(element.name, node, rules) if node or rules else None

    def _own(self, path: str) -> Iterator[Invariant]:
        """Give the invariants of a type or nested path and of those that it specialises."""
        held: str | None = path
        while held is not None:
            yield from self._definitions.invariants.get(held, ())
            yield from PROSE.get(held, ())
            held = self._definitions.base(held)

    def _of_element(self, path: str, element: Element, content: str) -> Sequence[Invariant]:
        """Give the invariants that an element states for its values, besides those of their type."""
        stated = f"{path}.{element.name}"
        if content == stated:
            return ()
        return self._definitions.invariants.get(stated + ("[x]" if element.choice else ""), ())

    def _rules(
        self, held: Iterator[Invariant] | Sequence[Invariant], context: str
    ) -> tuple[_Tested, ...]:
        rules = (
            self._compiler.rule(_corrected(invariant), context)
            for invariant in held
            if invariant.expression and invariant.key not in corrections.CHECKED_ELSEWHERE
        )
        return tuple((rule.predicate.truth or _keeps(rule), rule) for rule in rules)


def _fresh(
    resource: dict[str, Any], root: dict[str, Any] | None, environment: Environment
) -> Visit:
    within = Visit(resource, root, environment)
    within.ids = set()
    within.room = {"error": _MOST, "warning": _MOST}
    return within


def _all_right(node: _Node, resource: dict[str, Any], within: Visit) -> bool:
    """Tell whether nothing below a resource breaks a rule, as is the rule: no place need be known then."""
    try:
        return node.below(resource, within)
    except FhirPathFault:
        return False


def _right_at(rules: tuple[_Tested, ...], node: _Node | None) -> _Right:
    """Give what tests one value of a property: by the rules of the element, then as what it is."""
    tests = tuple(holds for holds, _ in rules)

    def right(value: Any, within: Visit) -> bool:
        for holds in tests:
            if not holds(value, within):
                return False
        return node is None or node.right(value, within)

    return right


def _right_below(edges: Mapping[str, _Edge]) -> _Right:
    """Give what tests all that is below an object."""
    tested = {n: e if e.rules or e.node is None else e.node for n, e in edges.items()}
    find = tested.get

    def right(value: Any, within: Visit) -> bool:
        """Whether every member of an object is right; the first that is not ends it."""
        for name, child in value.items():
            below = find(name)
            if below is None:
                continue
            if type(child) is not list:
                if not below.right(child, within):
                    return False
                continue
            for one in child:
                if one is not None and not below.right(one, within):
                    return False
        return True

    return right


def _right_throughout(rules: tuple[_Tested, ...], below: _Right) -> _Right:
    """Give what tests an object by its own rules, then all that is below it."""
    tests = tuple(holds for holds, _ in rules)
    if not tests:
        return below

    def right(value: Any, within: Visit) -> bool:
        for holds in tests:
            if not holds(value, within):
                return False
        return below(value, within)

    return right


def _keeps(rule: Rule | Check) -> Callable[[Any, Visit], bool | None]:
    return lambda value, within: not rule.broken(value, within)


def _test(rules: tuple[_Tested, ...], value: Any, within: Visit, found: list[_Broken]) -> None:
    """Collect the rules that a value breaks: those that are not true of it, or cannot be evaluated."""
    for holds, rule in rules:
        try:
            held = holds(value, within)
        except FhirPathFault:
            held = None
        if not held and within.room[rule.severity]:
            within.room[rule.severity] -= 1
            found.append(_Broken(rule))


def _corrected(invariant: Invariant) -> Invariant:
    expression = corrections.expression(invariant.key, invariant.expression)
    return Invariant(invariant.key, invariant.severity, invariant.human, expression)
