"""The order of a search: sort keys, missing ones last, ties by place (FHIR R4 search.html#sort)."""

from __future__ import annotations

from fhir_server.search.expression import Cursor, Plan, SortKey


class Order:
    """The order of a plan, turned round where it goes backwards; ties go as the last key goes."""

    def __init__(self, plan: Plan) -> None:
        self._descending = [key.descending for key in plan.sort]
        self._own = not plan.sort
        self._sign = -1 if plan.backwards else 1

    def compare(self, a: Cursor, b: Cursor) -> int:
        """Tell the order of two places: below, at or above zero."""
        return self._sign * self._forwards(a, b)

    def _forwards(self, a: Cursor, b: Cursor) -> int:
        ways = [False] * len(a.keys) if self._own else self._descending
        for mine, other, descending in zip(a.keys, b.keys, ways, strict=True):
            if mine != other:
                return _compare(mine, other, descending=descending)
        return _compare(a.place, b.place, descending=ways[-1])


def _compare(a: SortKey, b: SortKey, *, descending: bool) -> int:
    if a == b:
        return 0
    if a is None or b is None:
        return 1 if a is None else -1
    before = a < b  # type: ignore[operator]  # the keys of one place are of one type
    return -1 if before != descending else 1
