"""Syntax trees to closures over plain JSON, where the definitions tell every type (FHIR R4 fhirpath.html).

What needs more than that, e.g. resolve() or $index, is Undecided and left to the evaluator.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from resources.definitions import Definitions
from resources.fhirpath import constants, typed, typed_compare, typed_functions, typed_truth
from resources.fhirpath.expression import (
    Binary,
    Call,
    Empty,
    External,
    Literal,
    Node,
    Path,
    This,
    TypeTest,
)
from resources.fhirpath.item import BOOLEAN, INTEGER, STRING
from resources.fhirpath.system import is_a
from resources.fhirpath.tree import Tree
from resources.fhirpath.type_tests import named
from resources.fhirpath.typed import ANYTHING, Branch, Collection, Undecided
from resources.fhirpath.typed_compare import Truth
from resources.fhirpath.typed_functions import TELLING
from resources.fhirpath.within import Within

_ABSTRACT = frozenset({"Resource", "DomainResource"})
_NONE = Collection(())
_LITERALS = MappingProxyType({"string": STRING, "boolean": BOOLEAN, "integer": INTEGER})
_COMPARISONS: Mapping[str, Callable[[int], bool]] = MappingProxyType(
    {
        "<": lambda found: found < 0,
        "<=": lambda found: found <= 0,
        ">": lambda found: found > 0,
        ">=": lambda found: found >= 0,
    }
)
_TRUTHS = frozenset({"exists", "empty", "not", "all", "isDistinct", "hasValue", "is", *TELLING})


class Lowering:
    """Lowers expressions on one context type; raises Undecided for what cannot be."""

    def __init__(self, definitions: Definitions, tree: Tree, context: str) -> None:
        self._definitions = definitions
        self._tree = tree
        self._context = context
        owner = context.partition(".")[0]
        self._resource = owner if definitions.kind(owner) == "resource" else ""

    # --- truths -----------------------------------------------------------------------------------

    def truth(self, node: Node, focus: Collection) -> Truth:
        """Give what tells whether an expression is true on a focus."""
        match node:
            case Binary(operator, left, right) if operator in typed_truth.CONNECTIVES:
                connect = typed_truth.CONNECTIVES[operator]
                told = connect(self.truth(left, focus), self.truth(right, focus))
            case Binary("=" | "!=" as operator, left, right):
                told = self._equal(left, right, focus, told=operator == "=")
            case Binary(operator, left, right) if operator in _COMPARISONS:
                first, second = self.items(left, focus), self.items(right, focus)
                told = typed_compare.ordered(first, second, _COMPARISONS[operator])
            case Binary("in", left, right) | Binary("contains", right, left):
                told = typed_compare.member(self.items(left, focus), self.items(right, focus))
            case TypeTest("is", operand, name):
                told = self._is(self.items(operand, focus), name)
            case Call(target, name, arguments) if name in _TRUTHS or name == "iif":
                told = self._truth_call(target, name, arguments, focus)
            case _:
                told = typed_truth.truth_of(self.items(node, focus))
        return told

    def _equal(self, left: Node, right: Node, focus: Collection, *, told: bool) -> Truth:
        if _is_truth(left) and _is_truth(right):
            return typed_truth.same(self.truth(left, focus), self.truth(right, focus), told=told)
        return typed_compare.equal(self.items(left, focus), self.items(right, focus), told=told)

    def _truth_call(
        self, target: Node | None, name: str, arguments: tuple[Node, ...], focus: Collection
    ) -> Truth:
        match name, arguments:
            case "iif", (condition, then, *rest) if target is None:
                otherwise = self.truth(rest[0], focus) if rest else None
                tests = (self.truth(condition, focus), self.truth(then, focus))
                return typed_truth.chosen(*tests, otherwise)
            case "not", () if target is not None:
                return typed_truth.negated(self.truth(target, focus))
            case "is", (type_name,):
                return self._is(self._target(target, focus), str(type_name).replace("`", ""))
            case (("exists" | "all"), (criterion,)):
                return self._quantified(name, self._target(target, focus), criterion)
            case _:
                return self._of_collection(name, target, arguments, focus)

    def _of_collection(
        self, name: str, target: Node | None, arguments: tuple[Node, ...], focus: Collection
    ) -> Truth:
        match name, arguments:
            case (("exists" | "empty"), ()):
                found = self._target(target, focus)
                return typed_truth.present(found, told=name == "exists")
            case "isDistinct", ():
                return typed_compare.is_distinct(self._target(target, focus))
            case "hasValue", ():
                return typed_truth.has_value(self._target(target, focus))
            case _ if name in TELLING:
                call = Call(target, name, arguments)
                return typed_truth.truth_of(Collection((self._called(call, focus),)))
            case _:
                raise Undecided(name)

    def _quantified(self, name: str, found: Collection, criterion: Node) -> Truth:
        is_any = name == "exists"
        quantify = typed_truth.any_of if is_any else typed_truth.all_of
        tests = [quantify(b.get, self._criterion(criterion, b)) for b in found.branches]
        join = typed_truth.either if is_any else typed_truth.both
        return functools.reduce(join, tests) if tests else typed_truth.always(not is_any)

    def _criterion(self, criterion: Node, branch: Branch) -> Truth:
        return self.truth(criterion, typed.this(branch.type, primitive=branch.primitive))

    def _is(self, found: Collection, written: str) -> Truth:
        names = named(self._definitions, written)
        tests = tuple((b.get, self._test_of(b.type, names)) for b in found.branches)

        def told(value: Any, within: Within) -> bool | None:
            pairs = [(held, test) for get, test in tests for held in get(value, within)]
            held = typed_compare.only(pairs)
            return None if held is None else held[1](held[0])

        return told

    def _test_of(self, type_name: str, names: tuple[str, ...]) -> Callable[[Any], bool]:
        definitions = self._definitions
        if type_name not in _ABSTRACT:
            known = any(is_a(definitions, type_name, name) for name in names)
            return lambda _: known

        def test(value: Any) -> bool:
            held = value.get("resourceType")
            return any(is_a(definitions, held, name) for name in names)

        return test

    # --- items ------------------------------------------------------------------------------------

    def items(self, node: Node, focus: Collection) -> Collection:
        """Give the collection of an expression on a focus."""
        match node:
            case This("$this"):
                found = focus
            case Literal(value, kind) if kind in _LITERALS:
                found = Collection((typed.constant((value,), _LITERALS[kind]),))
            case Empty():
                found = _NONE
            case External(name):
                found = self._external(name)
            case Path(target, name):
                found = self._path(target, name, focus)
            case TypeTest("as", operand, name):
                found = self._of_type(self.items(operand, focus), name)
            case Binary(operator, left, right):
                found = self._binary(operator, left, right, focus)
            case Call():
                found = self._call(node, focus)
            case _:
                raise Undecided(type(node).__name__)
        return found

    def _target(self, target: Node | None, focus: Collection) -> Collection:
        return focus if target is None else self.items(target, focus)

    def _external(self, name: str) -> Collection:
        is_resource = self._context == self._resource
        if name == "resource" or (name == "context" and is_resource):
            if not self._resource:
                raise Undecided("the resource may be of any type")
            one: typed.One = lambda _, within: within.resource  # noqa: E731 - a closure
            return Collection((Branch(self._resource, lambda _, w: [w.resource], one),))
        text = constants.known(name)
        if text is None:
            raise Undecided(name)
        return Collection((typed.constant((text,), STRING),))

    def _path(self, target: Node | None, name: str, focus: Collection) -> Collection:
        if target is None and name[:1].isupper() and self._definitions.kind(name) is not None:
            kept = tuple(b for b in focus.branches if is_a(self._definitions, b.type, name))
            return Collection(kept)
        above = self._target(target, focus)
        found = (child for branch in above.branches for child in self._children(branch, name))
        return Collection(tuple(found), above.united)

    def _children(self, parent: Branch, name: str) -> list[Branch]:
        if parent.type == ANYTHING:
            if name in self._definitions.choice_names(self._resource):
                raise Undecided("a choice of types below a value of any type")
            return [typed.child(parent, name, ANYTHING, repeats=True, primitive=False)]
        if parent.primitive or parent.type in _ABSTRACT or parent.type.startswith("System."):
            if name in {"id", "extension", "value"} or parent.type in _ABSTRACT:
                return self._base_child(parent, name)
            return []
        return [
            typed.child(
                parent, step.property, step.type, repeats=step.repeats, primitive=step.primitive
            )
            for step in self._tree.steps(parent.type).get(name, ())
        ]

    def _base_child(self, parent: Branch, name: str) -> list[Branch]:
        """Give what every resource has; what its own type adds is not known here."""
        if parent.type not in _ABSTRACT or name not in self._tree.steps(parent.type):
            raise Undecided("the item may be of any type")
        return [
            typed.child(parent, s.property, s.type, repeats=s.repeats, primitive=s.primitive)
            for s in self._tree.steps(parent.type)[name]
        ]

    def _of_type(self, found: Collection, written: str) -> Collection:
        names = named(self._definitions, written)
        if any(branch.type in _ABSTRACT for branch in found.branches):
            raise Undecided("the item may be of any type")
        kept = (b for b in found.branches if any(self._kept(b.type, name) for name in names))
        return Collection(tuple(kept), found.united)

    def _kept(self, type_name: str, name: str) -> bool:
        if type_name == name:
            return True
        is_primitive = self._definitions.kind(name) == "primitive"
        return not is_primitive and is_a(self._definitions, type_name, name)

    def _binary(self, operator: str, left: Node, right: Node, focus: Collection) -> Collection:
        match operator:
            case "|":
                return typed_functions.union(self.items(left, focus), self.items(right, focus))
            case "&":
                return typed_functions.joined(self.items(left, focus), self.items(right, focus))
            case "+":
                return typed_functions.total(self.items(left, focus), self.items(right, focus))
            case _ if _is_truth(Binary(operator, left, right)):
                one = self.truth(Binary(operator, left, right), focus)
                return Collection((typed.single(BOOLEAN, one),))
            case _:
                raise Undecided(operator)

    def _call(self, node: Call, focus: Collection) -> Collection:
        if node.name in typed_functions.GIVEN:
            return Collection((self._called(node, focus),))
        if _is_truth(node):
            return Collection((typed.single(BOOLEAN, self.truth(node, focus)),))
        return self._listed(node, self._target(node.target, focus), focus)

    def _listed(self, node: Call, found: Collection, focus: Collection) -> Collection:
        match node.name, node.arguments:
            case "where", (criterion,):
                kept = (typed.kept(b, self._criterion(criterion, b)) for b in found.branches)
                made = Collection(tuple(kept), found.united)
            case "select", (projection,):
                made = self._selected(found, projection)
            case (("as" | "ofType"), (type_name,)):
                made = self._of_type(found, str(type_name).replace("`", ""))
            case "trace", _:
                made = found
            case name, () if name in typed_functions.OF_ONE:
                made = typed_functions.OF_ONE[name](found)
            case name, (other,) if name in typed_functions.OF_TWO:
                made = typed_functions.OF_TWO[name](found, self.items(other, focus))
            case name, _:
                raise Undecided(name)
        return made

    def _selected(self, found: Collection, projection: Node) -> Collection:
        made: list[Branch] = []
        for branch in found.branches:
            focus = typed.this(branch.type, primitive=branch.primitive)
            inner = self.items(projection, focus)
            made += [typed.through(branch, held) for held in inner.branches]
        return Collection(tuple(made), found.united or len(made) > 1)

    def _called(self, node: Call, focus: Collection) -> Branch:
        target = self._target(node.target, focus)
        arguments = tuple(self.items(held, focus) for held in node.arguments)
        return typed_functions.called(node.name, target, arguments, self._tree)


def _is_truth(node: Node) -> bool:
    """Tell whether an expression always gives one boolean or nothing."""
    match node:
        case Binary(operator, _, _):
            return operator in _TELLING_OPERATORS
        case Call(_, name, _):
            return name in _TRUTHS
        case TypeTest(operator, _, _):
            return operator == "is"
        case _:
            return False


_TELLING_OPERATORS = frozenset(
    {"=", "!=", "in", "contains", *typed_truth.CONNECTIVES, *_COMPARISONS}
)
