"""JSON Patch, applied to JSON: all operations or none (RFC 6902, FHIR R4 http.html#patch).

A patch that is not well formed is Invalid (400); one that does not fit what it is applied to, a failing test
included, is Unprocessable (422). Decimals keep their digits.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from resources import json_pointer, model
from resources.json_pointer import Steps
from resources.outcome import Invalid, TooCostly, Unprocessable

Operation = dict[str, Any]

MOST_OPERATIONS = 1000
_LARGEST = 1_000_000


def parse(data: bytes) -> list[Operation]:
    """Read a patch document, a JSON array of operations, and check its form; raises Invalid."""
    try:
        found = model.parse_json(data)
    except msgspec.ValidationError:
        raise Invalid(model.NO_NUMBER, issue="value") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("The patch is not JSON", issue="structure") from None
    model.refuse_twice(found, data)
    if not isinstance(found, list) or not all(isinstance(operation, dict) for operation in found):
        raise Invalid("A JSON Patch is an array of operations", issue="structure")
    if len(found) > MOST_OPERATIONS:
        raise TooCostly(f"A patch may have {MOST_OPERATIONS} operations")
    for place, operation in enumerate(found):
        _refuse_malformed(operation, place)
    return found


def _refuse_malformed(operation: Operation, place: int) -> None:
    name = operation.get("op")
    if not isinstance(name, str) or name not in _NEEDED:
        raise Invalid(f"Operation {place} needs op: {', '.join(_NEEDED)}", issue="structure")
    for member in ("path", *_NEEDED[name]):
        if member not in operation:
            raise Invalid(f"Operation {place}, {name}, needs {member}", issue="structure")
        if member != "value":
            if not isinstance(operation[member], str):
                raise Invalid(f"{member} of operation {place} is no text", issue="structure")
            json_pointer.parse(operation[member])


def apply(document: Any, operations: list[Operation]) -> Any:
    """Give the patched document, the one given being left as it is; raises Unprocessable, TooCostly."""
    holder = {"": model.copy(document)}
    added = 0
    for operation in operations:
        if operation["op"] == "copy":
            added += _size(json_pointer.find(holder[""], json_pointer.parse(operation["from"])))
            if added > _LARGEST:
                raise TooCostly("The patch copies too much")
        _OPERATIONS[operation["op"]](holder, operation)
    return holder[""]


def _size(value: Any) -> int:
    """Count the values in JSON."""
    count, pending = 0, [value]
    while pending:
        held = pending.pop()
        count += 1
        if isinstance(held, dict):
            pending += held.values()
        elif isinstance(held, list):
            pending += held
    return count


def _steps(operation: Operation, member: str = "path") -> Steps:
    return ("", *json_pointer.parse(operation[member]))


def _put(holder: Any, steps: Steps, value: Any) -> None:
    parent = json_pointer.find(holder, steps[:-1])
    if isinstance(parent, dict):
        parent[steps[-1]] = value
    elif isinstance(parent, list):
        parent.insert(json_pointer.index(parent, steps[-1], beyond=True), value)
    else:
        raise Unprocessable("A path of the patch leads into what has no parts", issue="not-found")


def _taken(holder: Any, steps: Steps) -> Any:
    value = json_pointer.find(holder, steps)
    parent = json_pointer.find(holder, steps[:-1])
    if isinstance(parent, list):
        return parent.pop(json_pointer.index(parent, steps[-1]))
    del parent[steps[-1]]
    return value


def _add(holder: Any, operation: Operation) -> None:
    _put(holder, _steps(operation), model.copy(operation["value"]))


def _remove(holder: Any, operation: Operation) -> None:
    steps = _steps(operation)
    if len(steps) == 1:
        raise Unprocessable("The whole resource is not removed by a patch")
    _taken(holder, steps)


def _replace(holder: Any, operation: Operation) -> None:
    steps = _steps(operation)
    json_pointer.find(holder, steps)
    parent = json_pointer.find(holder, steps[:-1])
    place = json_pointer.index(parent, steps[-1]) if isinstance(parent, list) else steps[-1]
    parent[place] = model.copy(operation["value"])


def _move(holder: Any, operation: Operation) -> None:
    source, target = _steps(operation, "from"), _steps(operation)
    if target[: len(source)] == source and target != source:
        raise Unprocessable("Nothing is moved into itself")
    if source == target:
        json_pointer.find(holder, source)
        return
    _put(holder, target, _taken(holder, source))


def _copy(holder: Any, operation: Operation) -> None:
    _put(
        holder, _steps(operation), model.copy(json_pointer.find(holder, _steps(operation, "from")))
    )


def _test(holder: Any, operation: Operation) -> None:
    if not _equal(json_pointer.find(holder, _steps(operation)), operation["value"]):
        raise Unprocessable("A test of the patch does not hold", issue="value")


def _equal(left: Any, right: Any) -> bool:
    """Compare JSON, numbers by value; true is no 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[n], right[n]) for n in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return left == right
    return type(left) is type(right) and bool(left == right)


_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "add": ("value",),
        "remove": (),
        "replace": ("value",),
        "move": ("from",),
        "copy": ("from",),
        "test": ("value",),
    }
)
_OPERATIONS: Mapping[str, Callable[[Any, Operation], None]] = MappingProxyType(
    {
        "add": _add,
        "remove": _remove,
        "replace": _replace,
        "move": _move,
        "copy": _copy,
        "test": _test,
    }
)
