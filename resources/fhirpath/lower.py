"""Syntax trees to closures that list the items of an expression at a focus (FHIRPath N1 3-6)."""

from collections.abc import Callable

from resources.fhirpath import quantity as quantities
from resources.fhirpath import temporal, type_tests
from resources.fhirpath.arithmetic import signed
from resources.fhirpath.constants import constant
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.expression import (
    Binary,
    Call,
    Empty,
    External,
    Index,
    Literal,
    Node,
    Path,
    Quantity,
    Sign,
    This,
    TypeTest,
)
from resources.fhirpath.faults import EvaluationFault, RunawayFault, SemanticFault
from resources.fhirpath.function import one, values
from resources.fhirpath.functions import FUNCTIONS
from resources.fhirpath.functions_fhir import primitive_value
from resources.fhirpath.item import Item
from resources.fhirpath.operators import OPERATORS
from resources.fhirpath.sorting import Key, sorted_by

_DEEPEST = 100
_ORDERED = frozenset({"first", "last", "tail", "skip", "take"})
_UNORDERED = frozenset({"children", "descendants"})


def lower(node: Node, depth: int = 0) -> Run:
    """Give what lists an expression; raises SemanticFault for unknown functions, RunawayFault for depth."""
    if depth > _DEEPEST:
        raise RunawayFault("the expression is nested too deeply")
    match node:
        case Path(target, name):
            run = _path(target, name, depth + 1)
        case Call(target, name, arguments):
            run = _call(target, name, arguments, depth + 1)
        case Index(target, place):
            run = _index(target, place, depth + 1)
        case TypeTest(operator, operand, name):
            run = _type_test(operator, lower(operand, depth + 1), name)
        case Sign(operator, operand):
            run = signed(operator, lower(operand, depth + 1))
        case Binary():
            run = _chain(node, depth + 1)
        case _:
            run = _leaf(node)
    return run


def _leaf(node: Literal | Quantity | Empty | This | External) -> Run:
    match node:
        case This(name):
            return _THIS[name]
        case External(name):
            return constant(name)
        case _:
            found = _constant(node)
            return lambda _focus: found


def _constant(node: Literal | Quantity | Empty) -> list[Item]:
    match node:
        case Literal(str() as text, "date" | "dateTime" | "time" as kind):
            found = _READ[kind](text)
            if found is None:
                raise EvaluationFault("there is no such date or time")
            return values(found)
        case Literal(value, _):
            return values(value)
        case Quantity(value, unit, calendar):
            return values(quantities.Quantity(value, unit, calendar))
        case Empty():
            return []


_READ: dict[str, Callable[[str], temporal.Temporal | None]] = {
    "date": temporal.date,
    "dateTime": temporal.date_time,
    "time": temporal.time,
}
_THIS: dict[str, Run] = {
    "$this": lambda focus: focus.this,
    "$index": lambda focus: values(focus.index),
    "$total": lambda focus: focus.total or [],
}


def _target(target: Node | None, depth: int) -> Run:
    return _THIS["$this"] if target is None else lower(target, depth)


def _path(target: Node | None, name: str, depth: int) -> Run:
    if target is None and name[:1].isupper():
        return lambda focus: _at_root(focus, name)
    items, held = _target(target, depth), _type_named(target)

    def run(focus: Focus) -> list[Item]:
        """Give the members of that name of all items, each of which is paid for."""
        tree, strict = focus.state.tree, focus.state.environment.strict
        if strict and held and name not in tree.steps(held):
            raise SemanticFault(f"no element {name} in {held}")
        above = items(focus)
        if name == "value" and above and (found := primitive_value(above)):
            return found
        found = tree.named(above, name, strict=strict)
        focus.state.spend(1 + len(found))
        return found

    return run


def _type_named(target: Node | None) -> str:
    """Give the type that `as` says a target has, the empty string where it does not say."""
    match target:
        case TypeTest("as", _, name) | Call(_, "as" | "ofType", (Path(_, name),)):
            return name.removeprefix("FHIR.")
        case _:
            return ""


def _at_root(focus: Focus, name: str) -> list[Item]:
    """Give the focus itself where it is of the type that an expression begins with, e.g. Patient.name."""
    tree = focus.state.tree
    if tree.definitions.kind(name) is None:
        return tree.named(focus.this, name, strict=focus.state.environment.strict)
    found = [item for item in focus.this if tree.is_a(item.type, name)]
    if not found and focus.this and focus.state.environment.strict:
        raise SemanticFault(f"this is a {focus.this[0].type}, not a {name}")
    return found


def _call(target: Node | None, name: str, arguments: tuple[Node, ...], depth: int) -> Run:
    items = _target(target, depth)
    if name in {"is", "as", "ofType"} and len(arguments) == 1:
        return _type_test(name, items, str(arguments[0]).replace("`", ""))
    if name == "sort":
        return sorted_by(items, [_key(argument, depth) for argument in arguments] or [_SELF])
    function = FUNCTIONS.get(name)
    if function is None:
        raise SemanticFault("there is no such function")
    if not function.least <= len(arguments) <= function.most:
        raise SemanticFault(f"{name} takes {function.least} to {function.most} arguments")
    if name in _ORDERED:
        items = _in_order(target, items)
    call, runs = function.call, tuple(lower(argument, depth) for argument in arguments)

    def run(focus: Focus) -> list[Item]:
        focus.state.spend(1)
        return call(focus, items(focus), runs)

    return run


_SELF: Key = (_THIS["$this"], False)


def _key(argument: Node, depth: int) -> Key:
    match argument:
        case Sign("-", operand):
            return lower(operand, depth), True
        case _:
            return lower(argument, depth), False


def _in_order(target: Node | None, items: Run) -> Run:
    """Strictly, refuse to take one of what has no order (FHIRPath N1 5.3, 5.8)."""
    match target:
        case Call(_, name, ()) if name in _UNORDERED:

            def run(focus: Focus) -> list[Item]:
                if focus.state.environment.strict:
                    raise SemanticFault(f"what {name}() gives has no order")
                return items(focus)

            return run
        case _:
            return items


def _index(target: Node, place: Node, depth: int) -> Run:
    items, index = _in_order(target, lower(target, depth)), lower(place, depth)

    def run(focus: Focus) -> list[Item]:
        found = one(index(focus), int)
        if found is None or found < 0:
            return []
        return items(focus)[found : found + 1]

    return run


def _type_test(operator: str, operand: Run, name: str) -> Run:
    if operator == "is":
        return type_tests.is_type(operand, name)
    return type_tests.of_type(operand, name, one=operator == "as")


def _chain(node: Node, depth: int) -> Run:
    """Lower a | b | c …, which is nested to the left however long it is, without going deeper for each."""
    rights: list[Binary] = []
    while isinstance(node, Binary):
        rights.append(node)
        node = node.left
    run = lower(node, depth)
    for binary in reversed(rights):
        run = _binary(binary.operator, run, lower(binary.right, depth))
    return run


def _binary(operator: str, left: Run, right: Run) -> Run:
    operate = OPERATORS[operator]

    def run(focus: Focus) -> list[Item]:
        focus.state.spend(1)
        return operate(focus, left, right)

    return run
