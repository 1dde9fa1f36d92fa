"""Real resources in every store, indexed as in production, to ask all of them the same query."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

import stored
from msgspec.structs import replace

from fhir_server.access import everything
from fhir_server.interactions.writing import body
from fhir_server.registry import discover
from fhir_server.search import modifiers
from fhir_server.search.expression import Branch, Cursor, Plan
from fhir_server.search.modifier import Modifier
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.parse import parse
from fhir_server.search.plan import Planner
from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import Change, Key
from fhir_server.store.sqlite.store import SqliteStore
from resources.definitions import load

ACCESS = everything("test")
PARAMETERS = SearchParameters(load())
AT_ONCE = 20

T = TypeVar("T")


@functools.cache
def planner() -> Planner:
    """Give a planner with every modifier that is shipped."""
    found = discover(modifiers, Modifier, "fhir_server.modifiers")
    return Planner(PARAMETERS, {one.code: one for one in found}, load().resource_types)


def clinical(type_: str) -> str | None:
    """Give the atom of a type's clinical date."""
    atom = PARAMETERS.clinical(type_)
    return None if atom is None else atom.name


def change(resource: Mapping[str, Any], tenant: str = stored.TENANT) -> Change:
    """Give the change that stores a resource."""
    key = Key(tenant, resource["resourceType"], resource["id"])
    return Change(key, "PUT", body(dict(resource)), PARAMETERS.values(dict(resource)))


def plan(type_: str, query: str, tenant: str = stored.TENANT) -> Plan:
    """Give the plan of a query, with its order."""
    asked = parse(parse_qsl(query, keep_blank_values=True, separator="&"))
    where = planner().where(type_, [one.criterion for one in asked.criteria], ACCESS)
    return Plan(tenant, (Branch(type_, where),), planner().sort(type_, asked.sort))


class ThreeWays:
    """A store in memory, one of SQLite and one of MongoDB that hold the same, and a loop to ask them in."""

    def __init__(self, folder: Path, mongo_url: str, clock: Any = None) -> None:
        clock = clock or stored.Clock()
        self._runner = asyncio.Runner()
        self.at_once = AT_ONCE
        self.url = stored.named(mongo_url)
        self.memory = MemoryStore(clinical=clinical, clock=clock)
        self.sqlite = SqliteStore(folder / "three.sqlite", clinical=clinical, clock=clock)
        self.mongo = MongoStore(self.url, clinical=clinical, clock=clock)

    @property
    def all(self) -> tuple[Any, ...]:
        """All of them, the meaning first."""
        return (self.memory, self.sqlite, self.mongo)

    def __enter__(self) -> Self:
        for one in self.all:
            self._runner.run(one.open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self.all:
            self._runner.run(one.close())
        self._runner.run(stored.drop(self.url))
        self._runner.close()

    def holding(self, resources: Iterable[Mapping[str, Any]], tenant: str = stored.TENANT) -> Self:
        """Store resources everywhere."""
        self._runner.run(self.fill(resources, tenant))
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop of the stores."""
        return self._runner.run(work)

    def found(self, type_: str, query: str) -> list[str]:
        """Give the ids that all find, in their order, after asserting that they agree."""
        return self._runner.run(self.ids(type_, query))

    def each(self, type_: str, query: str) -> list[list[str]]:
        """Give the ids that each finds, in their order, the meaning first."""
        return self._runner.run(self._each(type_, query))

    async def fill(
        self, resources: Iterable[Mapping[str, Any]], tenant: str = stored.TENANT
    ) -> None:
        """Store resources everywhere."""
        changes = [change(resource, tenant) for resource in resources]
        for one in self.all:
            for start in range(0, len(changes), self.at_once):
                await one.commit(changes[start : start + self.at_once])

    async def ids(self, type_: str, query: str) -> list[str]:
        """Give the ids that all find, in their order, after asserting that they agree."""
        found = await self._each(type_, query)
        assert found[1] == found[0], ("SQLite", query)
        assert found[2] == found[0], ("MongoDB", query)
        return found[0]

    async def _each(self, type_: str, query: str) -> list[list[str]]:
        asked = plan(type_, query)
        return [await _ids(store, asked) for store in self.all]

    def pages(self, asked: Plan) -> list[list[tuple[Key, Any]]]:
        """Give what each finds with its sort keys, the meaning first: at once, in two pages, counted."""
        return self._runner.run(self._pages(asked))

    async def _pages(self, asked: Plan) -> list[list[tuple[Key, Any]]]:
        whole = await paged(self.memory, asked, 1_000)
        found = [await paged(store, asked, max(2, len(whole) // 2 + 1)) for store in self.all]
        assert [await store.count(asked) for store in self.all] == [len(one) for one in found]
        return [whole, *found, await paged(self.sqlite, asked, 1_000)]


async def paged(store: Any, asked: Plan, size: int) -> list[tuple[Key, Any]]:
    """Give keys and sort keys of all that is found, read page by page."""
    found: list[tuple[Key, Any]] = []
    while True:
        page = await store.search(replace(asked, limit=size))
        found += [(match.version.key, match.keys) for match in page]
        if len(page) < size:
            return found
        asked = replace(asked, after=Cursor(page[-1].keys, page[-1].place))


async def _ids(store: Any, asked: Plan) -> list[str]:
    found: Sequence[Any] = await store.search(asked)
    return [match.version.key.id for match in found]
