"""FHIRPath → closures over plain JSON, typed from the StructureDefinitions (FHIR R4 fhirpath.html).

An expression is lowered to *branches*: the JSON steps to values of one type. What is no path (a comparison,
`exists()`, an index) is computed by a closure and joins the steps as one of its own.

This serves search parameters: no `resolve()` but in `resolve() is X`, no `%` constants, no arithmetic.
"""

from collections.abc import Callable, Iterable
from typing import Any

from resources import reference
from resources.definitions import Definitions, Element
from resources.fhirpath.collections import (
    FUNCTIONS,
    OPERATORS,
    TRUE,
    Item,
    booleans,
)
from resources.fhirpath.expression import (
    Binary,
    Call,
    Empty,
    Index,
    Literal,
    Node,
    Path,
    This,
    TypeTest,
)
from resources.fhirpath.steps import Branch, Child, Select, Tree, Visit

Items = Callable[[Any], list[Item]]

_ABSTRACT = frozenset({"Resource", "DomainResource"})


class Unsupported(ValueError):
    """The expression is valid FHIRPath, but not what this compiler does."""


class Compiler:
    """Compiles expressions against one set of definitions."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def branches(self, node: Node, context: str) -> tuple[Branch, ...]:
        """Give the branches of an expression on a context type; none where it is of another type.

        Raises Unsupported, also for an element that the type has not.
        """
        return self._lower(node, (Branch((), context),))

    def items(self, node: Node, context: str) -> Items:
        """Give the closure that lists the (value, type) items of an expression; raises Unsupported."""
        if _is_path(node):
            return _collector(self.branches(node, context))
        return self._computed(node, context)

    # --- paths, as branches -----------------------------------------------------------------------

    def _lower(self, node: Node, focus: tuple[Branch, ...]) -> tuple[Branch, ...]:
        match node:
            case This("$this"):
                found = focus
            case Path(None, name) if self._definitions.kind(name) == "resource":
                found = tuple(b for b in focus if self._is_a(b.type, name))
            case Path(target, name):
                found = self._children(self._target(target, focus), name)
            case Binary("|", left, right):
                both = (*self._lower(left, focus), *self._lower(right, focus))
                found = tuple(dict.fromkeys(both))
            case TypeTest("as", operand, name):
                found = self._narrow(self._lower(operand, focus), name)
            case Call(target, name, (argument,)) if name in _PATH_FUNCTIONS:
                found = self._filter(self._target(target, focus), name, argument)
            case _:
                found = tuple(b for held in focus for b in self._joined(node, held))
        return found

    def _target(self, target: Node | None, focus: tuple[Branch, ...]) -> tuple[Branch, ...]:
        return focus if target is None else self._lower(target, focus)

    def _filter(
        self, found: tuple[Branch, ...], function: str, argument: Node
    ) -> tuple[Branch, ...]:
        if function in {"as", "ofType"}:
            return self._narrow(found, str(argument))
        if function == "extension":
            found = self._children(found, "extension")
            argument = Binary("=", Path(None, "url"), argument)
        return tuple(self._where(branch, argument) for branch in found)

    def _children(self, parents: tuple[Branch, ...], name: str) -> tuple[Branch, ...]:
        found = tuple(b for parent in parents for b in self._child(parent, name))
        if parents and not found:
            raise Unsupported(f"no element {name} in {', '.join(p.type for p in parents)}")
        return found

    def _child(self, parent: Branch, name: str) -> Iterable[Branch]:
        element = self._element(parent.type, name)
        if element is None:
            return
        for json_name, held in self._definitions.json_names(element).items():
            steps = (*parent.steps, Child(json_name))
            content = self._definitions.content(parent.type, element, held)
            yield Branch(steps, content, element.binding, held.targets)

    def _element(self, context: str, name: str) -> Element | None:
        kind = self._definitions.kind(context.partition(".")[0])
        if kind is None or kind == "primitive":
            return None
        return self._definitions.children(context).get(name)

    def _is_a(self, held: str | None, name: str) -> bool:
        while held is not None and held != name:
            held = self._definitions.base(held)
        return held is not None

    def _narrow(self, found: tuple[Branch, ...], name: str) -> tuple[Branch, ...]:
        """Keep one type: by its exact name, then in any case (R4 writes DateTime), then subtypes."""
        name = _unqualified(name)
        kept = tuple(b for b in found if b.type == name)
        kept = kept or tuple(b for b in found if b.type.lower() == name.lower())
        kept = kept or tuple(b for b in found if self._is_a(b.type, name))
        if kept or self._definitions.kind(name) != "resource":
            return kept
        only = Select(f"ofType({name})", lambda value: (value,) if _type_of(value) == name else ())
        return tuple(Branch((*b.steps, only), name) for b in found if b.type in _ABSTRACT)

    def _where(self, branch: Branch, criterion: Node) -> Branch:
        test = self._test(criterion, branch.type)
        step = Select(f"where({criterion})", lambda value: (value,) if test(value) else ())
        return Branch((*branch.steps, step), branch.type, branch.binding, branch.targets)

    def _test(self, criterion: Node, context: str) -> Callable[[Any], bool]:
        match criterion:
            case Binary("=", Path(None, name), Literal(wanted, "string")) if self._one(
                context, name
            ):
                return lambda value: type(value) is dict and value.get(name) == wanted
            case _:
                found = self.items(criterion, context)
                return lambda value: found(value) == [TRUE]

    def _one(self, context: str, name: str) -> bool:
        element = self._element(context, name)
        return element is not None and not element.choice and element.max == 1

    def _joined(self, node: Node, focus: Branch) -> Iterable[Branch]:
        """Join what is computed to the steps, one branch a type that it may give."""
        found = self.items(node, focus.type)
        for held in self._types(node, focus.type):
            step = Select(f"{node} as {held.type}", _of_type(found, held.type))
            yield Branch((*focus.steps, step), held.type, held.binding, held.targets)

    def _types(self, node: Node, context: str) -> Iterable[Branch]:
        match node:
            case Index(target, _):
                found = {b.type: b for b in self.branches(target, context)}
            case Call(target, "first" | "last", ()):
                found = {b.type: b for b in self.branches(target or This(), context)}
            case Call(_, "count", _):
                found = {"integer": Branch((), "integer")}
            case Literal(_, kind):
                found = {kind: Branch((), kind)}
            case _:
                found = {"boolean": Branch((), "boolean")}
        return found.values()

    # --- all else, computed -----------------------------------------------------------------------

    def _computed(self, node: Node, context: str) -> Items:
        match node:
            case Literal(value, kind):
                found = _constant([(value, kind)])
            case Empty():
                found = _constant([])
            case Binary(operator, left, right) if operator in OPERATORS:
                found = self._binary(operator, left, right, context)
            case TypeTest("is", operand, name) | Call(operand, "is", (Path(None, name),)):
                found = self._is(operand or This(), _unqualified(name), context)
            case Call(target, name, arguments) if name in FUNCTIONS:
                found = self._function(target or This(), name, arguments, context)
            case Index(target, Literal(int() as place, "integer")):
                found = _apply(lambda held: held[place : place + 1], self.items(target, context))
            case _:
                raise Unsupported(f"{type(node).__name__}: {node}")
        return found

    def _binary(self, operator: str, left: Node, right: Node, context: str) -> Items:
        function = OPERATORS[operator]
        first, second = self.items(left, context), self.items(right, context)
        return lambda value: booleans((function(first(value), second(value)),))

    def _is(self, operand: Node, name: str, context: str) -> Items:
        match operand:
            case Call(target, "resolve", ()):
                found = self.items(target or This(), context)
                return _apply(lambda held: booleans(_leads_to(v, name) for v, _ in held), found)
            case _:
                found = self.items(operand, context)
                return _apply(
                    lambda held: booleans(self._is_a(kind, name) for _, kind in held), found
                )

    def _function(
        self, target: Node, name: str, arguments: tuple[Node, ...], context: str
    ) -> Items:
        through = _FUNCTIONS_OF_A_PATH.get((name, len(arguments)))
        if through is not None:
            target = Call(target, through, arguments)
        elif arguments or name == "hasExtension":
            raise Unsupported(f"{name}() with {len(arguments)} arguments")
        return _apply(FUNCTIONS[name], self.items(target, context))


_PATH_FUNCTIONS = frozenset({"as", "ofType", "where", "extension"})
_FUNCTIONS_OF_A_PATH = {("exists", 1): "where", ("hasExtension", 1): "extension"}


def _is_path(node: Node) -> bool:
    match node:
        case This("$this") | Path() | Binary("|", _, _) | TypeTest("as", _, _):
            return True
        case Call(_, name, (_,)):
            return name in _PATH_FUNCTIONS
        case _:
            return False


def _unqualified(type_name: str) -> str:
    return type_name.removeprefix("FHIR.").removeprefix("System.")


def _type_of(value: Any) -> Any:
    return value.get("resourceType") if type(value) is dict else None


def _leads_to(value: Any, name: str) -> bool:
    """Tell by its text, not by reading it, whether a Reference or canonical leads to the type."""
    if type(value) is dict:
        text = value.get("reference")
        if not isinstance(text, str):
            return bool(value.get("type") == name)
        value = text
    return isinstance(value, str) and reference.parse(value).type == name


def _of_type(found: Items, kind: str) -> Callable[[Any], Iterable[Any]]:
    return lambda value: [v for v, held in found(value) if held == kind]


def _constant(items: list[Item]) -> Items:
    return lambda _: items


def _apply(function: Callable[[list[Item]], list[Item]], of: Items) -> Items:
    return lambda value: function(of(value))


def _collector(branches: tuple[Branch, ...]) -> Items:
    tree = Tree()
    for branch in branches:
        tree.add(branch.steps, _collect(branch.type))
    visit = tree.visitor()

    def collect(value: Any) -> list[Item]:
        out: list[Item] = []
        visit(value, out)
        return out

    return collect


def _collect(kind: str) -> Visit:
    def sink(value: Any, out: Any) -> None:
        if value is not None:
            out.append((value, kind))

    return sink
