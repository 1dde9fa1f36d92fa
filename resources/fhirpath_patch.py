"""FHIRPath Patch, a Parameters resource of operations, applied: https://hl7.org/fhir/R4/fhirpatch.html

A patch that is not well formed is Invalid (400); one that does not fit the resource is Unprocessable (422).
Nothing of the resource is echoed, the failing operation is named by its place.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from resources import model
from resources.fhirpath import slot
from resources.fhirpath.environment import Environment, Limits
from resources.fhirpath.evaluate import Evaluator
from resources.fhirpath.faults import FhirPathFault, RunawayFault
from resources.fhirpath.item import Item, Step
from resources.fhirpath.parse import SyntaxFault
from resources.fhirpath.slot import Pair, Slot
from resources.fhirpath_patch_value import chosen, value_for
from resources.model import Resource
from resources.outcome import FhirError, Invalid, Issue, TooCostly, Unprocessable

MOST_OPERATIONS = 1000
_LONGEST_PATH = 2000
_STEPS = 200_000
_KEY = {"type", "path", "name", "value", "index", "source", "destination"}

Parts = Mapping[str, Any]


class _Target:
    """The resource on its way, and how paths find their elements in it."""

    def __init__(self, evaluator: Evaluator, resource: Resource) -> None:
        self.evaluator = evaluator
        self.resource = resource
        self._left = _STEPS

    def items(self, parts: Parts) -> list[Item]:
        """Give what the operation's path finds; raises Invalid for what is no path of the resource."""
        if len(parts["path"]) > _LONGEST_PATH:
            raise Invalid(f"A path has at most {_LONGEST_PATH} characters")
        allowed = Environment(strict=True, limits=Limits(steps=self._left, text=1 << 16))
        try:
            found = self.evaluator.once(parts["path"], self.resource, allowed)
        except RunawayFault:
            raise TooCostly("The paths of the patch take too many steps") from None
        except (FhirPathFault, SyntaxFault) as fault:
            raise Invalid(f"The path is no FHIRPath of this resource: {fault}") from None
        self._left -= found.steps
        return found.items

    def one(self, parts: Parts) -> Item:
        """Give the one element that the path finds; raises Unprocessable for none or several."""
        found = self.items(parts)
        name = parts["type"]
        if not found:
            raise Unprocessable(f"No content found at the path of {name}", issue="not-found")
        if len(found) > 1:
            raise Unprocessable(
                f"Several elements are at the path of {name}", issue="multiple-matches"
            )
        return _placed(found[0])

    def list_of(self, parts: Parts) -> tuple[Slot, list[Pair]]:
        """Give the list that all that the path finds is in; raises Unprocessable where there is none."""
        found = self.items(parts)
        name = parts["type"]
        if not found:
            raise Unprocessable(f"No content found at the path of {name}", issue="not-found")
        held = slot.of(_placed(found[0]))
        same = all(i.parent is found[0].parent and i.step is found[0].step for i in found)
        if held is None or not held.repeats or not same:
            raise Unprocessable(f"The path of {name} is no list")
        return held, held.read()


def _placed(item: Item) -> Item:
    """Refuse what is no part of the resource, such as a number that the path computed."""
    if item.type.startswith("System."):
        raise Unprocessable("The path leads to no element of the resource")
    return item


def parse(parameters: Resource) -> list[Parts]:
    """Give the operations of a Parameters resource; raises Invalid, naming the place."""
    if parameters.get("resourceType") != "Parameters":
        raise Invalid("A FHIRPath Patch is a Parameters resource", issue="structure")
    found = parameters.get("parameter", [])
    if not isinstance(found, list):
        raise Invalid("Parameters.parameter is a list", issue="structure")
    if len(found) > MOST_OPERATIONS:
        raise TooCostly(f"A patch may have {MOST_OPERATIONS} operations")
    return [_parts(parameter, place) for place, parameter in enumerate(found)]


def _parts(parameter: Any, place: int) -> Parts:
    where = f"Parameters.parameter[{place}]"
    listed = parameter.get("part") if isinstance(parameter, dict) else None
    if not isinstance(listed, list) or parameter.get("name") != "operation":
        raise Invalid(
            "A patch consists of parameters named operation, with parts", expression=where
        )
    parts: dict[str, Any] = {}
    for part in listed:
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name not in _KEY or name in parts:
            raise Invalid("A part of the operation is unknown or comes twice", expression=where)
        parts[name] = part if name == "value" else _simple(part)
    for name, kind in (("type", str), *_NEEDED.get(str(parts.get("type")), ())):
        if not _is(parts.get(name), kind):
            raise Invalid(f"The operation needs {name}", issue="required", expression=where)
    if parts["type"] not in _NEEDED:
        raise Invalid(f"An operation is one of {', '.join(_NEEDED)}", expression=where)
    return parts


def _is(value: Any, kind: type) -> bool:
    """Tell whether a part is of a kind; true is no 1."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _simple(part: Mapping[str, Any]) -> Any:
    """Give the one value of a part, None where it has none or several."""
    values = [value for name, value in part.items() if name.startswith("value")]
    return values[0] if len(values) == 1 else None


def apply(evaluator: Evaluator, resource: Resource, operations: Sequence[Parts]) -> Resource:
    """Give the patched resource, the one given being left as it is; raises Invalid, Unprocessable."""
    target = _Target(evaluator, model.copy(resource))
    for place, parts in enumerate(operations):
        try:
            _OPERATIONS[parts["type"]](target, parts)
        except FhirError as error:
            where = f"Parameters.parameter[{place}]"
            issues = [Issue(i.severity, i.code, i.diagnostics, where) for i in error.issues]
            raise type(error)(str(error), issues=issues) from None
    return target.resource


def _add(target: _Target, parts: Parts) -> None:
    """Append to a list, or set what is not there yet."""
    item = target.one(parts)
    step = chosen(_steps(target, item, parts["name"]), parts["value"])
    added = value_for(target.evaluator.tree, step, parts["value"])
    held = slot.below(slot.holder_of(item), step)
    there = held.read()
    if not step.repeats and _is_set(target, item, parts["name"]):
        raise Unprocessable("The element to add is there already, and does not repeat")
    held.write([*there, added])


def _steps(target: _Target, item: Item, name: str) -> Sequence[Step]:
    steps = target.evaluator.tree.steps(item.type).get(name)
    if steps is None:
        raise Unprocessable(f"{item.type} has no element of the name given")
    return steps


def _is_set(target: _Target, item: Item, name: str) -> bool:
    return bool(target.evaluator.tree.named([item], name, strict=False))


def _insert(target: _Target, parts: Parts) -> None:
    held, pairs = target.list_of(parts)
    (item, *_) = target.items(parts)
    if item.step is None or not 0 <= parts["index"] <= len(pairs):
        raise Unprocessable("The index to insert at is outside the list", issue="value")
    pairs.insert(parts["index"], value_for(target.evaluator.tree, item.step, parts["value"]))
    held.write(pairs)


def _delete(target: _Target, parts: Parts) -> None:
    """Remove the one element of a path; nothing being there is well."""
    if not target.items(parts):
        return
    item = target.one(parts)
    if slot.of(item) is None:
        raise Unprocessable("The whole resource is not deleted by a patch")
    slot.remove(item)


def _replace(target: _Target, parts: Parts) -> None:
    """Put another value in place of the one element of a path, of another type too where it is a choice."""
    item = target.one(parts)
    held = slot.of(item)
    if held is None or item.parent is None or item.step is None:
        raise Unprocessable("The whole resource is not replaced by a patch")
    step = chosen(_steps(target, item.parent, item.step.name), parts["value"])
    replaced = value_for(target.evaluator.tree, step, parts["value"])
    if step.property != held.property:
        held.write([])
        slot.below(held.holder, step).write([replaced])
        return
    pairs = held.read()
    pairs[slot.place(item)] = replaced
    held.write(pairs)


def _move(target: _Target, parts: Parts) -> None:
    held, pairs = target.list_of(parts)
    if not all(0 <= parts[name] < len(pairs) for name in ("source", "destination")):
        raise Unprocessable("source or destination is outside the list", issue="value")
    pairs.insert(parts["destination"], pairs.pop(parts["source"]))
    held.write(pairs)


_NEEDED: Mapping[str, tuple[tuple[str, type], ...]] = MappingProxyType(
    {
        "add": (("path", str), ("name", str), ("value", dict)),
        "insert": (("path", str), ("index", int), ("value", dict)),
        "delete": (("path", str),),
        "replace": (("path", str), ("value", dict)),
        "move": (("path", str), ("source", int), ("destination", int)),
    }
)
_OPERATIONS: Mapping[str, Callable[[_Target, Parts], None]] = MappingProxyType(
    {
        "add": _add,
        "insert": _insert,
        "delete": _delete,
        "replace": _replace,
        "move": _move,
    }
)
