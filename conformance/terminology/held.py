"""R4's own code systems and value sets, from package data, read when first asked for."""

import functools
from importlib.resources import files
from typing import Any

import msgspec

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.known import KnownTerminology
from conformance.terminology.value_set import ValueSet, compiled, implicit

_Raw = dict[str, msgspec.Raw]


class Held:
    """The source of what R4 defines: of each url one version; compiled one by one."""

    def __init__(self) -> None:
        self._systems: dict[str, CodeSystem] = {}
        self._sets: dict[str, ValueSet] = {}

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Give a code system of R4's, None if it has none of the url and version."""
        if url not in self._systems and (found := _read(self._raw_systems, url)) is not None:
            self._systems[url] = CodeSystem(found)
        held = self._systems.get(url)
        return held if held is not None and version in {None, held.version} else None

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Give a value set of R4's or an implicit one, None if there is none of the url and version."""
        if url not in self._sets and (found := _read(self._raw_sets, url)) is not None:
            self._sets[url] = compiled(found)
        held = self._sets.get(url)
        if held is None:
            return implicit(url)
        return held if version in {None, held.version} else None

    @functools.cached_property
    def _raw_systems(self) -> _Raw:
        return _data("code_systems")

    @functools.cached_property
    def _raw_sets(self) -> _Raw:
        return _data("value_sets")


def _data(name: str) -> _Raw:
    text = files("resources").joinpath(f"data/{name}.json").read_bytes()
    return msgspec.json.decode(text, type=_Raw)


def _read(raw: _Raw, url: str) -> dict[str, Any] | None:
    found = raw.get(url)
    return None if found is None else msgspec.json.decode(found)


@functools.cache
def held() -> Held:
    """Give R4's own, the same for every asker."""
    return Held()


@functools.cache
def terminology() -> KnownTerminology:
    """Give the terminology of R4's own alone."""
    return KnownTerminology(held())
