"""What this process wrote last, as followers of the feed are given it."""

import pytest

from fhir_server.store.mongo.recent import Recent
from fhir_server.store.port import Key, Version

KEY = Key("default", "Patient", "a")


class Seconds:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def recent(seconds):
    return Recent(1.0, seconds)


def versions(first, last, size=1):
    return [Version(KEY, n, n, "PUT", b"x" * size, n) for n in range(first, last + 1)]


def positions(found):
    return None if found is None else [version.position for version in found]


def test_what_follows_a_position_is_given_in_order_and_no_more_than_asked_for(recent):
    recent.add(versions(5, 9))
    assert positions(recent.after(4, 100)) == [5, 6, 7, 8, 9]
    assert positions(recent.after(6, 2)) == [7, 8]


def test_the_database_is_asked_for_what_was_before_or_after(recent):
    recent.add(versions(5, 9))
    assert recent.after(3, 100) is None
    assert recent.after(10, 100) is None


def test_nothing_is_known_at_first(recent):
    assert recent.after(0, 100) is None
    assert recent.after(-1, 100) is None


def test_the_newest_is_the_newest_for_as_long_as_other_processes_may_be_late(recent, seconds):
    recent.add(versions(5, 9))
    assert positions(recent.after(9, 100)) == []
    seconds.now += 1.0
    assert recent.after(9, 100) is None


def test_a_gap_is_where_another_process_wrote(recent):
    recent.add(versions(5, 6))
    recent.add(versions(9, 10))
    assert recent.after(4, 100) is None
    assert recent.after(6, 100) is None
    assert positions(recent.after(8, 100)) == [9, 10]


def test_what_may_have_been_erased_elsewhere_is_not_given_for_long(recent, seconds):
    recent.add(versions(5, 9))
    seconds.now += 5.1
    assert recent.after(4, 100) is None


def test_nothing_is_given_once_it_is_forgotten(recent):
    recent.add(versions(5, 9))
    recent.forget()
    assert recent.after(4, 100) is None
    assert recent.after(9, 100) is None


def test_no_more_is_kept_than_fits(recent):
    recent.add(versions(1, 1000))
    assert recent.after(100, 1) is None
    assert positions(recent.after(999, 1)) == [1000]
    recent.add(versions(1001, 1003, size=7_000_000))
    assert recent.after(1000, 1) is None
    assert positions(recent.after(1001, 5)) == [1002, 1003]
