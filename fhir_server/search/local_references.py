"""Values of a search that refer to resources here by a base of our own, as such references are stored.

FHIR R4 search.html#reference. A Reference is stored relative, and what is held in a resource is found by type
and id; canonicals, uris and what is inside a Bundle are stored as they are, and are asked for as they are.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from fhir_server.search.parameters import Context, Parameter
from fhir_server.search.parse import Simple, split, unescape
from resources import reference

_AS_WRITTEN: Final = frozenset({"canonical", "uri", "url"})
_REFERRING: Final = frozenset({"reference", "composite"})

Part = tuple[Parameter, Simple]
"""A parameter, or some of its atoms, with what is asked of it there."""


def parted(parameter: Parameter, asked: Simple, bases: Sequence[str]) -> Sequence[Part]:
    """Give what is to be looked for where, any of which may match; nothing where no value has such a base."""
    if parameter.type not in _REFERRING or asked.modifier == "identifier" or not bases:
        return ()
    values = asked.values
    if not any(f"{base}/" in value for value in values for base in bases):
        return ()
    if parameter.type == "composite":
        return [
            (
                replace(parameter, contexts=(one,)),
                _of(asked, [_joined(one, v, bases) for v in values]),
            )
            for one in parameter.contexts
        ]
    local = _only(parameter, _stored_relative)
    parts = [(local, _of(asked, [relative(v, bases) for v in values]))] if local.atoms else []
    written = _only(parameter, _stored_as_written)
    return [*parts, (written, asked)] if written.atoms else parts


def _of(asked: Simple, values: Sequence[str]) -> Simple:
    return Simple(asked.code, asked.modifier, tuple(values))


def relative(value: str, bases: Sequence[str]) -> str:
    """Give one value that refers to a resource under a base of ours without it; any other as it is."""
    text = unescape(value)
    found = reference.relative(text, *bases)
    return value if found is text else found


def _joined(context: Context, value: str, bases: Sequence[str]) -> str:
    """Give the values of a composite with those of references made relative."""
    values = split(value, "$")
    if len(values) != len(context.parts):
        return value
    return "$".join(
        relative(one, bases) if part.parameter.type == "reference" else one
        for one, part in zip(values, context.parts, strict=True)
    )


def _only(parameter: Parameter, fits: Callable[[str, frozenset[str]], bool]) -> Parameter:
    """Give a parameter with those of its atoms whose type and datatypes fit."""
    held = [
        pair
        for pair in zip(parameter.atoms, parameter.datatypes, strict=True)
        if fits(parameter.base, pair[1])
    ]
    return replace(parameter, atoms=tuple(a for a, _ in held), datatypes=tuple(d for _, d in held))


def _stored_relative(type_: str, datatypes: frozenset[str]) -> bool:
    return "Resource" in datatypes or ("Reference" in datatypes and type_ != "Bundle")


def _stored_as_written(type_: str, datatypes: frozenset[str]) -> bool:
    return bool(datatypes & _AS_WRITTEN) or ("Reference" in datatypes and type_ == "Bundle")
