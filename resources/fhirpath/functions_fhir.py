"""Functions that FHIR adds, and trace and type (https://hl7.org/fhir/R4/fhirpath.html#functions)."""

from typing import Any

from resources.fhirpath import quantity
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.function import Function, one, single, table, values
from resources.fhirpath.item import STRING, Item
from resources.fhirpath.item import truth as told
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import item as system_item
from resources.fhirpath.system import value_of

_Arguments = tuple[Run, ...]
_CORE = "http://hl7.org/fhir/StructureDefinition/"
_CODED = frozenset({"Coding", "CodeableConcept"})


def _extension(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    url = one(arguments[0](focus), str)
    found = focus.state.tree.named(items, "extension", strict=False)
    focus.state.spend(len(found))
    return [item for item in found if isinstance(item.value, dict) and item.value.get("url") == url]


def _has_value(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    return told(len(items) == 1 and value_of(items[0]) is not None and _is_primitive(items[0]))


def _is_primitive(item: Item) -> bool:
    return not isinstance(item.value, dict | Quantity)


def _get_value(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    found = items[0] if len(items) == 1 else None
    value = None if found is None or not _is_primitive(found) else value_of(found)
    return values(value)


def _resolve(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Give what references lead to: contained resources, then what the environment finds."""
    del arguments
    found = [_resolved(focus, item) for item in items]
    return [item for item in found if item is not None]


def _resolved(focus: Focus, item: Item) -> Item | None:
    focus.state.spend(1)
    text = item.value.get("reference") if isinstance(item.value, dict) else item.value
    if not isinstance(text, str):
        return None
    tree = focus.state.tree
    if text.startswith("#"):
        root = tree.root_of(item)
        if text == "#":
            return root
        contained = tree.named([root], "contained", strict=False)
        return next((i for i in contained if i.value.get("id") == text[1:]), None)
    resolve = focus.state.environment.resolve
    resource = resolve(text) if resolve is not None else None
    return None if resource is None else tree.root(resource)


def _member_of(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Ask the terminology; empty where there is none, or it cannot tell."""
    item, url = single(items), one(arguments[0](focus), str)
    member_of = focus.state.environment.member_of
    if item is None or url is None or member_of is None:
        return []
    if item.type in _CODED:
        return told(member_of(item.value, url))
    value = value_of(item)
    if not isinstance(value, str):
        raise EvaluationFault("memberOf takes a code, Coding or CodeableConcept")
    return told(member_of(value, url))


def _conforms_to(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Tell conformance to a type of R4 by its type, to a profile by asking the environment."""
    item, url = single(items), one(arguments[0](focus), str)
    if item is None or url is None:
        return []
    tree = focus.state.tree
    name = url.removeprefix(_CORE)
    if name != url and tree.definitions.kind(name) is not None:
        return told(tree.is_a(item.type, name))
    conforms_to = focus.state.environment.conforms_to
    known = conforms_to(item.value, url) if conforms_to and isinstance(item.value, dict) else None
    if known is None:
        raise EvaluationFault("the profile of conformsTo is not known here")
    return told(known)


def _html_checks(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    check, value = focus.state.environment.html_checks, one(items, str)
    return [] if check is None or value is None else told(check(value))


def _check_modifiers(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Give the input where it has no modifier extensions but those that are named."""
    allowed = {one(argument(focus), str) for argument in arguments}
    found = focus.state.tree.named(items, "modifierExtension", strict=False)
    if any(item.value.get("url") not in allowed for item in found if isinstance(item.value, dict)):
        raise EvaluationFault("there is a modifier extension that is not understood")
    return items


def _comparable(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    left, right = one(items, Quantity), one(arguments[0](focus), Quantity)
    if left is None or right is None:
        return []
    return told(quantity.comparable(left, right))


def _trace(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Collect the items, or what is made of them, under a name; the input goes on unchanged."""
    name = one(arguments[0](focus), str) or ""
    shown = items
    if len(arguments) > 1:
        pairs = enumerate(items)
        shown = [made for i, item in pairs for made in arguments[1](focus.at(item, i))]
    focus.state.spend(len(shown))
    focus.state.traced.append((name, shown))
    return items


def _type(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    return [Item(_type_info(focus, item), "System.TypeInfo") for item in items]


def _type_info(focus: Focus, item: Item) -> dict[str, Any]:
    namespace, _, name = item.type.rpartition(".")
    if namespace == "System":
        return {"namespace": "System", "name": name}
    if namespace:
        return {"namespace": "FHIR", "name": focus.state.tree.definitions.base(item.type)}
    return {"namespace": "FHIR", "name": item.type}


def primitive_value(items: list[Item]) -> list[Item]:
    """Give `value` of primitives: what they are worth as System values (fhirpath.html#types)."""
    found = (value_of(item) for item in items if _is_primitive(item) and item.type != STRING)
    return [system_item(value) for value in found if value is not None]


FHIR_FUNCTIONS = table(
    Function("extension", _extension, 1, 1),
    Function("hasValue", _has_value),
    Function("getValue", _get_value),
    Function("resolve", _resolve),
    Function("memberOf", _member_of, 1, 1),
    Function("conformsTo", _conforms_to, 1, 1),
    Function("htmlChecks", _html_checks),
    Function("checkModifiers", _check_modifiers, 0, 50),
    Function("comparable", _comparable, 1, 1),
    Function("trace", _trace, 1, 2),
    Function("type", _type),
)
