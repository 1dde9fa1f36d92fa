"""The value part of a FHIRPath Patch as the JSON of an element (https://hl7.org/fhir/R4/fhirpatch.html).

What has no type of its own, such as Patient.contact, comes as parts, one for each element in it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from resources import model
from resources.fhirpath import slot
from resources.fhirpath.item import Step
from resources.fhirpath.slot import Pair
from resources.fhirpath.tree import Tree
from resources.outcome import Invalid, Unprocessable

_TEXTS = frozenset(
    {
        *("base64Binary", "canonical", "code", "date", "dateTime", "id", "instant", "markdown"),
        *("oid", "string", "time", "uri", "url", "uuid", "xhtml"),
    }
)
_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_DEEPEST = 30

Part = Mapping[str, Any]


def chosen(steps: Sequence[Step], part: Part) -> Step:
    """Give the step of an element or choice that takes the value; raises Unprocessable for another type."""
    property_ = _property(part)
    if property_ is None:
        return steps[0]
    for step in steps:
        if property_ == _property_for(step.type):
            return step
    for step in steps:
        if _alike(step.type, property_):
            return step
    raise Unprocessable("The value is not of a type that the element takes", issue="value")


def _property(part: Part) -> str | None:
    """Give the name of the value[x] of a part, without _, None where it has parts or a resource."""
    found = {name.removeprefix("_") for name in part if name.removeprefix("_").startswith("value")}
    if len(found) > 1 or bool(found) == ("part" in part or "resource" in part):
        raise Invalid("The value of an operation is one value[x], parts or a resource")
    return found.pop() if found else None


def _property_for(type_name: str) -> str:
    return "value" + type_name[:1].upper() + type_name[1:]


def _alike(type_name: str, property_: str) -> bool:
    """Tell whether JSON writes two primitive types alike, as string and code, or integer and decimal."""
    return any(
        type_name in kinds and property_ in map(_property_for, kinds)
        for kinds in (_TEXTS, _NUMBERS)
    )


def value_for(tree: Tree, step: Step, part: Part, depth: int = 0) -> Pair:
    """Give what a part stands for at a step: a value with its extensions; raises Invalid, Unprocessable."""
    property_ = _property(part)
    if property_ is not None:
        chosen((step,), part)
        value = model.copy(part.get(property_))
        extra = model.copy(part.get("_" + property_)) if step.primitive else None
        if value is None and not extra:
            raise Invalid("The value of an operation is null", issue="required")
        return value, extra
    if "resource" in part:
        if not isinstance(part["resource"], dict) or not tree.is_a(step.type, "Resource"):
            raise Unprocessable("The element takes no resource", issue="value")
        return model.copy(part["resource"]), None
    if step.primitive or depth > _DEEPEST or not isinstance(part["part"], list):
        raise Unprocessable("The element takes a value, not parts", issue="value")
    return _object(tree, step, part["part"], depth), None


def _object(tree: Tree, step: Step, parts: Sequence[Any], depth: int) -> dict[str, Any]:
    """Build an element of its parts; those of one name make a list."""
    built: dict[str, Any] = {}
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        steps = tree.steps(step.type).get(name) if isinstance(name, str) else None
        if steps is None:
            raise Unprocessable("A part of the value is no element of its type", issue="structure")
        found = chosen(steps, part)
        held = slot.below(built, found)
        pairs = held.read()
        if pairs and not found.repeats:
            raise Unprocessable("A part of the value comes twice and does not repeat")
        held.write([*pairs, value_for(tree, found, part, depth + 1)])
    if not built:
        raise Unprocessable("The value is empty", issue="value")
    return built
