"""sort: items by one or more keys, a leading minus turning the order of a key round (FHIRPath 3.0, 5.2)."""

from collections.abc import Sequence
from functools import cmp_to_key

from resources.fhirpath import equality
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.function import single
from resources.fhirpath.item import Item

Key = tuple[Run, bool]


def sorted_by(operand: Run, keys: Sequence[Key]) -> Run:
    """Give what sorts by keys, each with whether it descends; without a key comes last, or first if so."""

    def run(focus: Focus) -> list[Item]:
        """Give the items in order, comparing by the first key that tells them apart."""
        found = operand(focus)
        focus.state.spend(len(found) * len(found).bit_length())
        ranks = [
            [single(key(focus.at(item, index))) for key, _ in keys]
            for index, item in enumerate(found)
        ]

        def order(left: int, right: int) -> int:
            return _order(ranks[left], ranks[right], keys)

        return [found[place] for place in sorted(range(len(found)), key=cmp_to_key(order))]

    return run


def _order(left: list[Item | None], right: list[Item | None], keys: Sequence[Key]) -> int:
    for a, b, (_, descending) in zip(left, right, keys, strict=True):
        found = _compared(a, b)
        if found:
            return -found if descending else found
    return 0


def _compared(a: Item | None, b: Item | None) -> int:
    if a is None or b is None:
        return (a is None) - (b is None)
    return equality.order(a, b) or 0
