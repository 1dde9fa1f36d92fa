"""Identifiers: of the right form, never twice, not even in threads and forked processes."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

from fhir_server import identifiers
from fhir_server.identifiers import Identifiers


def test_a_uuid_is_a_random_one_in_its_usual_form():
    for _ in range(1000):
        text = identifiers.uuid()
        made = uuid.UUID(text)
        assert (str(made), made.version, made.variant) == (text, 4, uuid.RFC_4122)


def test_none_is_given_twice_whatever_was_drawn_together():
    made = Identifiers()
    assert len({made.hexadecimal() for _ in range(5000)}) == 5000


def test_threads_never_share_one():
    made = Identifiers()
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda _: [made.hexadecimal() for _ in range(3000)], range(8))
    found = [one for part in parts for one in part]
    assert len(set(found)) == len(found)


def test_a_forked_process_does_not_go_on_with_what_its_parent_drew(monkeypatch):
    made = Identifiers()
    made.hexadecimal()
    drawn = {piece.hex() for piece in made._pieces}
    assert drawn
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert not drawn & {made.hexadecimal() for _ in range(300)}
