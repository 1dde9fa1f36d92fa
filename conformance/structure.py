"""Compiled structural rules, a validator a type, made on first use (FHIR R4 json.html)."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from conformance import schema
from conformance.place import Place
from conformance.schema import References
from conformance.wording import Wording
from resources.definitions import Definitions
from resources.outcome import Issue

_NEVER_ECHOED = "the rule is broken"


class _Aligned:
    """Keyword: a primitive and its extensions together hold something at each position (ele-1)."""

    def __init__(self, _schema: Any, value: str, _path: list[str | int]) -> None:
        self.name = value

    def validate(self, instance: Any) -> None:
        """Raise ValueError where neither side holds anything or the lists differ in length."""
        values, companions = instance.get(self.name), instance[f"_{self.name}"]
        if isinstance(values, list) or isinstance(companions, list):
            self._aligned(values, companions)
        elif values is None and isinstance(companions, dict) and "extension" not in companions:
            raise ValueError(_NEVER_ECHOED)

    @staticmethod
    def _aligned(values: Any, companions: Any) -> None:
        values = values if isinstance(values, list) else [None] * len(companions)
        if not isinstance(companions, list) or len(values) != len(companions):
            raise ValueError(_NEVER_ECHOED)
        for value, companion in zip(values, companions, strict=True):
            if value is None and not (companion and "extension" in companion):
                raise ValueError(_NEVER_ECHOED)


class _Exclusive:
    """Keyword: at most one type of a choice is there."""

    def __init__(self, _schema: Any, value: list[str], _path: list[str | int]) -> None:
        self.names = {written: name for name in value for written in (name, f"_{name}")}

    def held(self, instance: Any) -> int:
        """Count those that are there; a value and its own extensions count once."""
        return len({self.names[name] for name in instance if name in self.names})

    def validate(self, instance: Any) -> None:
        """Raise ValueError where two are there."""
        if self.held(instance) > 1:
            raise ValueError(_NEVER_ECHOED)


class _Filled(_Exclusive):
    """Keyword: an extension has one value, or extensions and no value (ext-1)."""

    def validate(self, instance: Any) -> None:
        """Raise ValueError where it has both, neither or two values."""
        if self.held(instance) + ("extension" in instance) != 1:
            raise ValueError(_NEVER_ECHOED)


class Structure:
    """The structural rules of every type; a validator is compiled when its type first comes."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[tuple[str, References], jsonschema_rs.Draft4Validator] = {}

    def validator(self, type_name: str, references: References) -> jsonschema_rs.Draft4Validator:
        """Give the compiled validator of a type; KeyError for a type that R4 does not have."""
        key = (type_name, references)
        known = self._compiled.get(key)
        if known is None:
            known = self._compiled[key] = self._compile(type_name, references)
        return known

    def _compile(self, type_name: str, references: References) -> jsonschema_rs.Draft4Validator:
        return jsonschema_rs.Draft4Validator(
            schema.type_schema(self._definitions, type_name, references),
            pattern_options=jsonschema_rs.RegexOptions(),
            keywords={
                schema.ALIGNED: _Aligned,
                schema.EXCLUSIVE: _Exclusive,
                schema.FILLED: _Filled,
                schema.TYPED: self._typed(references),
            },
        )

    def _typed(self, references: References) -> type[Any]:
        structure = self

        class Typed:
            """Keyword: the value is of a type that has its own validator."""

            def __init__(self, _schema: Any, value: str, _path: list[str | int]) -> None:
                self.type_name = value

            def validate(self, instance: Any) -> None:
                """Raise ValueError where the value breaks its type's rules."""
                if not structure.validator(self.type_name, references).is_valid(instance):
                    raise ValueError(_NEVER_ECHOED)

        return Typed

    def issues(self, value: Any, start: Place, references: References) -> Iterator[Issue]:
        """Give what is wrong with a value of the type that the place says."""

        def typed(inner: Any, at: Place) -> Iterator[Issue]:
            return self.issues(inner, at, references)

        wording = Wording(self._definitions, typed)
        told = False
        for error in self.validator(start.content or "", references).iter_errors(value):
            for issue in wording.issues(error, start):
                told = True
                yield issue
        if not told:  # a broken rule is never passed over, even one that has no wording
            text = f"The element breaks the structure of {start.content}"
            yield Issue("error", "structure", text, start.expression)
