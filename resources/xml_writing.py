"""A resource as FHIR XML, element order by the definitions (FHIR R4 xml.html).

Each path is compiled on first use into one function a JSON property; they append to a list of texts.
`nl` is what stands before a tag: nothing, or a line break and the indentation.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from resources import xml_narrative, xml_text
from resources.model import Resource
from resources.xml_fault import Misfit
from resources.xml_shape import ELEMENT, FHIR, Slot, resource_types, shape

Append = Callable[[str], None]
Write = Callable[[Append, dict[str, Any], str], None]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_ROOT = f' xmlns="{FHIR}"'
_INDENT = "  "


class _Plan(NamedTuple):
    """How one path is written: the order of its JSON properties, and what writes each."""

    rank: dict[str, int]
    write: dict[str, Write]
    step: dict[str, str]
    attributes: tuple[str, ...]
    is_resource: bool


def to_xml(resource: Resource, *, pretty: bool = False) -> bytes:
    """Give a resource as XML in UTF-8; raises Invalid for what R4 has no element for."""
    parts = [_HEAD]
    try:
        _resource(parts.append, resource, "\n" if pretty else "", _ROOT)
    except Misfit as fault:
        raise fault.told() from None
    except RecursionError:
        raise Misfit("The elements are nested too deep for XML").told() from None
    if pretty:
        parts.append("\n")
    return "".join(parts).encode()


@functools.cache
def _plan(path: str) -> _Plan:
    form = shape(path)
    named = ("resourceType", *form.attributes) if form.is_resource else form.attributes
    rank = dict.fromkeys(named, -1)
    write: dict[str, Write] = dict.fromkeys(rank, _nothing)
    step: dict[str, str] = {}
    for slot in form.slots:
        write[slot.name] = _writer(slot)
        rank[slot.name] = 2 * slot.rank
        step[slot.name] = slot.step
        if slot.form == "primitive":
            write[slot.companion] = _companion(slot, write[slot.name])
            rank[slot.companion] = 2 * slot.rank + 1
            step[slot.companion] = slot.step
    return _Plan(rank, write, step, form.attributes, form.is_resource)


def _nothing(_append: Append, _holder: dict[str, Any], _nl: str) -> None:
    """Write nothing: it stands elsewhere."""


def _resource(append: Append, value: Any, nl: str, root: str = "") -> None:
    """Write a resource as the element that its type names."""
    name = value.get("resourceType") if type(value) is dict else None
    plan = _plan(name) if isinstance(name, str) and name in resource_types() else None
    if plan is None:
        raise Misfit("R4 has no resource type of this name")
    append(f"{nl}<{name}{root}>")
    try:
        _children(append, plan, value, nl and nl + _INDENT)
    except Misfit as fault:
        if root:
            fault.steps.append(str(name))
        raise
    append(f"{nl}</{name}>")


def _children(append: Append, plan: _Plan, value: dict[str, Any], nl: str) -> None:
    write = plan.write
    try:
        names = sorted(value, key=plan.rank.__getitem__)
    except KeyError:
        raise Misfit("There is an element that the definition does not have") from None
    name = ""
    try:
        for name in names:
            write[name](append, value, nl)
    except Misfit as fault:
        step = plan.step.get(name, name)
        last = fault.steps[-1] if fault.steps else ""
        if last.startswith("["):
            fault.steps[-1] = step + last
        else:
            fault.steps.append(step)
        raise


def _attributes(value: Any, names: tuple[str, ...]) -> str:
    if type(value) is not dict:
        raise Misfit("Expected an object")
    found = ""
    for name in names:
        if name in value:
            found += f' {name}="{xml_text.escaped(value[name])}"'
    return found


def _writer(slot: Slot) -> Write:
    match slot.form:
        case "primitive":
            text = xml_text.writer(slot.content)
            return _primitives(slot, text) if slot.many else _primitive(slot, text)
        case "complex":
            return _many(slot, _complex(slot)) if slot.many else _one(slot, _complex(slot))
        case "resource":
            return _many(slot, _holder(slot)) if slot.many else _one(slot, _holder(slot))
        case "xhtml":
            return _one(slot, _div)


def _companion(slot: Slot, write: Write) -> Write:
    """Write the extensions of a primitive that has no value; otherwise they stand with the value."""

    def written(append: Append, holder: dict[str, Any], nl: str) -> None:
        if slot.name not in holder:
            write(append, holder, nl)

    return written


def _primitive(slot: Slot, text: xml_text.Written) -> Write:
    name, companion = slot.name, slot.companion
    start = f'<{name} value="'

    def written(append: Append, holder: dict[str, Any], nl: str) -> None:
        if companion in holder:
            _extended(append, name, text, (holder.get(name), holder[companion]), nl)
        else:
            append(f'{nl}{start}{text(holder[name])}"/>')

    return written


def _primitives(slot: Slot, text: xml_text.Written) -> Write:
    name, companion = slot.name, slot.companion
    start = f'<{name} value="'

    def written(append: Append, holder: dict[str, Any], nl: str) -> None:
        if companion in holder:
            pairs = _pairs(holder.get(name), holder[companion])
            _each(pairs, lambda pair: _extended(append, name, text, pair, nl))
        else:
            _each(_listed(holder[name]), lambda value: append(f'{nl}{start}{text(value)}"/>'))

    return written


def _each(values: list[Any], write: Callable[[Any], None]) -> None:
    """Write each value of a list, a fault told with the index of its value."""
    done = 0
    try:
        for value in values:
            write(value)
            done += 1
    except Misfit as fault:
        fault.steps.append(f"[{done}]")
        raise


def _pairs(values: Any, companions: Any) -> list[tuple[Any, Any]]:
    """Give each value of a repeating primitive with its extensions."""
    held = _listed(companions)
    given = [None] * len(held) if values is None else _listed(values)
    if len(given) != len(held):
        raise Misfit("The lists of values and of their extensions are equally long")
    return list(zip(given, held, strict=True))


def _extended(
    append: Append, name: str, text: xml_text.Written, pair: tuple[Any, Any], nl: str
) -> None:
    """Write a primitive that may have an id and extensions."""
    value, more = pair
    if value is None and not more:
        raise Misfit("A primitive has a value or extensions")
    append(f"{nl}<{name}")
    if more:
        append(_attributes(more, ("id",)))
    if value is not None:
        append(f' value="{text(value)}"')
    if more and len(more) > ("id" in more):
        append(">")
        _children(append, _plan(ELEMENT), more, nl and nl + _INDENT)
        append(f"{nl}</{name}>")
    else:
        append("/>")


def _complex(slot: Slot) -> Callable[[Append, Any, str], None]:
    name, path = slot.name, slot.content

    def written(append: Append, value: Any, nl: str) -> None:
        plan = _plan(path)
        append(f"{nl}<{name}{_attributes(value, plan.attributes)}>")
        _children(append, plan, value, nl and nl + _INDENT)
        append(f"{nl}</{name}>")

    return written


def _holder(slot: Slot) -> Callable[[Append, Any, str], None]:
    name = slot.name

    def written(append: Append, value: Any, nl: str) -> None:
        append(f"{nl}<{name}>")
        _resource(append, value, nl and nl + _INDENT)
        append(f"{nl}</{name}>")

    return written


def _div(append: Append, value: Any, nl: str) -> None:
    append(nl + xml_narrative.written(value))


def _one(slot: Slot, write: Callable[[Append, Any, str], None]) -> Write:
    name = slot.name

    def written(append: Append, holder: dict[str, Any], nl: str) -> None:
        write(append, holder[name], nl)

    return written


def _many(slot: Slot, write: Callable[[Append, Any, str], None]) -> Write:
    name = slot.name

    def written(append: Append, holder: dict[str, Any], nl: str) -> None:
        _each(_listed(holder[name]), lambda value: write(append, value, nl))

    return written


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Misfit("Expected a list, because it may repeat")
    return value
