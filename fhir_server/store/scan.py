"""Searches by looking at everything: the order and the pages that a plan asks for, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    """The current resources of one tenant, as chains see them; sorted by type once for a search."""

    def __init__(self, records: Mapping[Key, Record], tenant: str) -> None:
        self._records = records
        self._tenant = tenant
        self._referrers: dict[str, dict[tuple[str, str, str], list[Candidate]]] = {}
        self._of: defaultdict[str, list[Record]] = defaultdict(list)
        for key, record in records.items():
            if key.tenant == tenant and record.current.body is not None:
                self._of[key.type].append(record)

    def records(self, type: str) -> Sequence[Record]:
        """Give what is stored and not deleted of a type."""
        return self._of.get(type, ())

    def referring(self, type: str, atom: str, target: Candidate) -> Iterable[Candidate]:
        """Give every resource of the type with a reference to the target at the atom."""
        if type not in self._referrers:
            self._referrers[type] = _by_target(record.candidate for record in self.records(type))
        return self._referrers[type].get((atom, target.type, target.id), ())

    def get(self, type: str, id: str) -> Candidate | None:
        """Give one resource, or None where there is none or it is deleted."""
        record = self._records.get(Key(self._tenant, type, id))
        return None if record is None or record.current.body is None else record.candidate


def _by_target(candidates: Iterable[Candidate]) -> dict[tuple[str, str, str], list[Candidate]]:
    """Give who refers, by atom and by type and id of what is referred to."""
    found: dict[tuple[str, str, str], list[Candidate]] = {}
    for one in candidates:
        for to in {(value.atom, value.type, value.id) for value in one.values.references}:
            found.setdefault(to, []).append(one)
    return found


def _place(match: Match) -> Cursor:
    return Cursor(match.keys, match.place)
