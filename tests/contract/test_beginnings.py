"""The end of the texts that begin alike: what a store's index is read up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.beginnings import successor


@given(st.text(max_size=4), st.text(max_size=6))
def test_a_text_begins_so_exactly_if_it_lies_below_the_successor(start: str, text: str) -> None:
    end = successor(start)
    for candidate in (text, start + text, start + "\U0010ffff" + text):
        inside = candidate >= start and (end is None or candidate < end)
        assert inside == candidate.startswith(start)


@pytest.mark.parametrize("start", ["\ud7ff", "a\ud7ff", "\U0010ffff", "a\U0010ffff", ""])
def test_the_successor_is_a_text_that_can_be_stored(start: str) -> None:
    end = successor(start)
    assert end is None or (end.encode() and end > start)
