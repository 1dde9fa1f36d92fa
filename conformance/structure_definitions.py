"""The paths of a profile lead to elements of the type that it constrains (elementdefinition.html#path)."""

from collections.abc import Iterator

from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue


def issues(resource: Resource, expression: str, definitions: Definitions) -> Iterator[Issue]:
    """Give the elements of a constraint on a type of R4 whose path leads nowhere."""
    type_name = resource.get("type")
    is_constraint = resource.get("derivation") == "constraint" and resource.get("kind") != "logical"
    if not is_constraint or not isinstance(type_name, str) or definitions.kind(type_name) is None:
        return
    for part in ("snapshot", "differential"):
        for index, element in enumerate(resource.get(part, {}).get("element", ())):
            path = element.get("path")
            if isinstance(path, str) and not _leads(path.split("."), type_name, definitions):
                text = "The path leads to an element of the type that is constrained"
                yield Issue("error", "invalid", text, f"{expression}.{part}.element[{index}].path")


def _leads(steps: list[str], type_name: str, definitions: Definitions) -> bool:
    """Tell whether steps lead from a type to an element; the last of a primitive type is value."""
    if steps[0] != type_name:
        return False
    held = {type_name}
    for step in steps[1:]:
        held = {found for path in held for found in _below(path, step, definitions)}
    return bool(held)


def _below(path: str, step: str, definitions: Definitions) -> Iterator[str]:
    """Give the types or nested paths that a step leads to, from a resource of any type to any element."""
    if definitions.kind(path) == "primitive" and step == "value":
        yield path
        return
    if path in {"Resource", "DomainResource"}:
        yield path
    for element in definitions.children(path).values():
        names = definitions.json_names(element)
        if step in {element.name, f"{element.name}[x]"}:
            yield from (definitions.content(path, element, held) for held in names.values())
        elif step in names:
            yield definitions.content(path, element, names[step])
