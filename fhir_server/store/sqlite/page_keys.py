"""The keys that a statement gives, as those of the port: dates that are none, numbers that are ordinals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.search.expression import Plan, SortKey
from fhir_server.search.match import UNDATED
from fhir_server.store.sqlite.keys import double

NUMBERS: Final = ("number", "quantity")

Keys = Callable[[Sequence[SortKey]], tuple[SortKey, ...]]


def keys_of(plan: Plan) -> Keys | None:
    """Give what turns the keys that a statement gave into those of the port; None if they are the same."""
    sort = plan.sort
    numbers = [key.by == "value" and key.kind in NUMBERS for key in sort]
    if any(numbers):
        return lambda keys: tuple(
            double(int(key)) if number and key is not None else key
            for key, number in zip(map(_dated, keys), numbers, strict=True)
        )
    if not any(key.by == "value" and key.kind == "date" for key in sort):
        return None
    if len(sort) == 1:
        return lambda keys: (None if keys[0] == UNDATED else keys[0],)
    return lambda keys: tuple(map(_dated, keys))


def _dated(key: SortKey) -> SortKey:
    return None if key == UNDATED else key
