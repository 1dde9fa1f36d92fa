"""What a broken rule of the structure means to a person: JSON Schema errors → FHIR issues.

No text repeats a submitted value; it says what is expected (FHIR R4 valueset-issue-type.html).
"""

from collections.abc import Callable, Iterator
from typing import Any

from jsonschema_rs import ValidationError, ValidationErrorKind

from conformance import place, primitives
from conformance.place import Place
from resources.definitions import Definitions, Element
from resources.outcome import Issue

_LISTED = 20


def _error(code: str, text: str, expression: str) -> Issue:
    return Issue("error", code, text, expression)


class Wording:
    """Turns the errors of one validator run into issues."""

    def __init__(
        self, definitions: Definitions, typed: Callable[[Any, Place], Iterator[Issue]]
    ) -> None:
        self.definitions = definitions
        self.typed = typed

    def issues(self, error: ValidationError, start: Place) -> Iterator[Issue]:
        """Give the issues that one error means."""
        at = place.find(self.definitions, start, error.instance_path)
        kind = error.kind
        match kind:
            case ValidationErrorKind.AdditionalProperties():
                for name in kind.unexpected:
                    text = f"{at.content or 'The element'} has no element with this name"
                    yield _error("structure", text, at.child(name))
            case ValidationErrorKind.Required():
                yield _error("required", f"{kind.property} is required", at.child(kind.property))
            case ValidationErrorKind.AnyOf():
                yield from self._any_of(error, kind.context, at, start)
            case ValidationErrorKind.OneOfNotValid() | ValidationErrorKind.OneOfMultipleValid():
                yield from self._choices(error.instance, at)
            case ValidationErrorKind.Custom():
                yield from self._custom(error, kind.keyword, at)
            case _:
                yield self._plain(error, kind, at)

    def _plain(self, error: ValidationError, kind: ValidationErrorKind, at: Place) -> Issue:
        match kind:
            case ValidationErrorKind.Enum() if isinstance(error.instance, str):
                return _error("code-invalid", self._codes(at.element), at.expression)
            case ValidationErrorKind.Type() | ValidationErrorKind.Enum():
                return self._type(error.instance, at)
            case ValidationErrorKind.Not():
                text = "This quantity has no comparator (sqty-1)"
                return _error("invariant", text, at.child("comparator"))
            case ValidationErrorKind.MinItems() | ValidationErrorKind.MaxItems():
                text = f"Expected a list with {_cardinality(at.element)} items"
                return _error("structure", text, at.expression)
            case ValidationErrorKind.MinProperties():
                text = "An element has a value, child elements or extensions (ele-1)"
                return _error("structure", text, at.expression)
            case _:
                return _error("value", f"Expected {self._expected(at)}", at.expression)

    def _expected(self, at: Place) -> str:
        outer = at.outer
        if at.element and outer and outer.content == "Reference" and at.element.name == "reference":
            named = " | ".join(outer.type_ref.targets) if outer.type_ref else ""
            kinds = "any resource type" if named in ("", "Resource") else named
            return f"Type/id of {kinds}, an absolute URL, or #id of a contained resource"
        if at.element and at.element.name == "id" and outer:
            is_resource = self.definitions.kind(outer.content or "") == "resource"
            return primitives.EXPECTED["id"] if is_resource else "an id without white space"
        return primitives.EXPECTED.get(at.content or "", "another value")

    def _type(self, value: Any, at: Place) -> Issue:
        repeats = at.element is not None and at.element.max != 1 and not at.indexed
        if value is None:
            text = "null stands only in a list, where the other list has extensions"
            return _error("structure", text, at.expression)
        if repeats:
            return _error("structure", "Expected a list, because it may repeat", at.expression)
        if isinstance(value, list):
            return _error("structure", "Expected one value, not a list", at.expression)
        if self.definitions.kind(at.content or "") == "primitive":
            code = "structure" if isinstance(value, dict) else "value"
            return _error(code, f"Expected {self._expected(at)}", at.expression)
        return _error("structure", "Expected an object", at.expression)

    def _codes(self, element: Element | None) -> str:
        if element is None or element.binding is None:
            return "Expected a code of the required value set"
        value_set = element.binding.value_set
        codes = sorted(code for _, code in self.definitions.codes(value_set) or ())
        listed = f": {' | '.join(codes)}" if len(codes) <= _LISTED else ""
        return f"Expected a code of {value_set}{listed}"

    def _any_of(
        self, error: ValidationError, context: Any, at: Place, start: Place
    ) -> Iterator[Issue]:
        """Of several ways to be right, tell the first: the schema lists the usual one first."""
        first: ValidationError = context[0][0]
        kind = first.kind
        if at.content == "CodeableConcept":
            yield _error("code-invalid", self._codes(at.element), at.expression)
        elif at.content == "Extension" and isinstance(error.instance, dict):
            yield from self._extension(error.instance, at)
        elif isinstance(kind, ValidationErrorKind.MaxProperties):
            yield from self._choices(error.instance, at)
        elif isinstance(kind, ValidationErrorKind.Required) and kind.property[0] == "_":
            text = "null stands only where the list of extensions has one"
            yield _error("structure", text, at.child(kind.property))
        else:
            for held in context[0]:
                yield from self.issues(held, start)

    def _extension(self, value: Any, at: Place) -> Iterator[Issue]:
        """Tell ext-1: two values are told as any choice is."""
        found = list(self._choices(value, at))
        yield from found
        if not found:
            text = "An extension has either a value or extensions, not both (ext-1)"
            yield _error("invariant", text, at.expression)

    def _choices(self, value: Any, at: Place) -> Iterator[Issue]:
        elements = self.definitions.children(at.content) if at.content else {}
        for element in elements.values():
            if not element.choice:
                continue
            names = self.definitions.json_names(element)
            present = [name for name in names if name in value or f"_{name}" in value]
            if len(present) > 1:
                text = f"Only one type of {element.name}[x] may be given"
                yield _error("structure", text, at.child(element.name))
            if element.min and not present:
                yield _error("required", f"{element.name}[x] is required", at.child(element.name))

    def _custom(self, error: ValidationError, keyword: str, at: Place) -> Iterator[Issue]:
        if keyword == "typed":
            yield from self.typed(error.instance, at)
        elif keyword == "exclusive":
            yield from self._choices(error.instance, at)
        else:
            name = str(error.schema_path[-2])
            text = (
                "A primitive has a value or extensions; where it repeats, both lists are equally "
                "long and each position holds one of the two"
            )
            yield _error("structure", text, place.find(self.definitions, at, [name]).expression)


def _cardinality(element: Element | None) -> str:
    """Give how many items a list that is there holds; it is never empty."""
    low = max(element.min, 1) if element else 1
    high = "*" if element is None or element.max is None else element.max
    return f"{low}..{high}"
