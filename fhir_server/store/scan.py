"""Searches by looking at everything: the order and the pages that a plan asks for, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cmp_to_key

from msgspec import Struct

from fhir_server.search.expression import Cursor, Plan
from fhir_server.search.match import Candidate, Clinical, matches, sort_keys
from fhir_server.search.order import Order
from fhir_server.search.values import IndexValues
from fhir_server.store.port import Key, Match, Version


class Record(Struct):
    """All versions of one resource, the newest last, and the newest one's values; `place` is its number."""

    place: int
    versions: list[Version]
    values: IndexValues

    @property
    def current(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    @property
    def candidate(self) -> Candidate:
        """The resource as a search sees it."""
        key = self.current.key
        return Candidate(key.type, key.id, self.current.updated, self.values)


def page(plan: Plan, records: Mapping[Key, Record], clinical: Clinical) -> Sequence[Match]:
    """Give the page of matches that a plan asks for, in its order."""
    tenant = _Tenant(records, plan.tenant)
    fitting = {
        record.place: record
        for branch in plan.branches
        for record in tenant.records(branch.type)
        if matches(branch.where, record.candidate, tenant)
    }
    found = [
        Match(one.current, sort_keys(plan.sort, one.candidate, clinical, tenant), place)
        for place, one in fitting.items()
    ]
    order = Order(plan)
    found.sort(key=cmp_to_key(lambda a, b: order.compare(_place(a), _place(b))))
    if plan.after is not None:
        start = plan.after
        found = [match for match in found if order.compare(_place(match), start) > 0]
    return found[: plan.limit]


class _Tenant:
    """The current resources of one tenant, as chains see them."""

    def __init__(self, records: Mapping[Key, Record], tenant: str) -> None:
        self._records = records
        self._tenant = tenant

    def records(self, type: str) -> Iterator[Record]:
        """Give what is stored and not deleted of a type."""
        for key, record in self._records.items():
            if key.tenant == self._tenant and key.type == type and record.current.body is not None:
                yield record

    def find(self, type: str) -> Iterable[Candidate]:
        """Give every resource of the type."""
        return (record.candidate for record in self.records(type))

    def get(self, type: str, id: str) -> Candidate | None:
        """Give one resource, or None where there is none or it is deleted."""
        record = self._records.get(Key(self._tenant, type, id))
        return None if record is None or record.current.body is None else record.candidate


def _place(match: Match) -> Cursor:
    return Cursor(match.keys, match.place)
