"""Access: what is decided once stays what the grants say, and is no part of what is written down."""

from dataclasses import replace

import msgspec

from fhir_server.access import LETTERS, Access, Grant, everything

TYPES = ("Patient", "Observation", "AuditEvent")
NARROW = Grant("Observation", frozenset("rs"), patient="p1")
ALL = Grant("*", frozenset("r"), apart=frozenset({"AuditEvent"}))


def decided(access):
    return {
        (type_, letter): (access.grants_for(type_, letter), access.granted(type_, letter))
        for type_ in TYPES
        for letter in LETTERS
    }


def test_asking_again_gives_the_same():
    access = Access("app", (NARROW, ALL), within=(ALL,))
    first = decided(access)
    assert decided(access) == first
    assert first["Observation", "r"] == ((NARROW, ALL), True)
    assert first["Observation", "s"] == ((), False)
    assert first["AuditEvent", "r"] == ((), False)


def test_what_was_decided_is_not_taken_over_by_another_access():
    access = everything("ours")
    assert access.granted("Patient", "d")
    less = replace(access, grants=(NARROW,))
    assert not less.grants_for("Patient", "d")
    assert less.grants_for("Observation", "r") == (NARROW,)
    assert access.granted("Patient", "d")


def test_what_was_decided_is_no_part_of_an_access():
    one, other = everything("ours"), everything("ours")
    decided(one)
    assert one == other
    assert hash(one) == hash(other)
    assert msgspec.convert(msgspec.to_builtins(one), Access) == other


def test_types_that_do_not_exist_do_not_fill_the_memory():
    access = everything("ours")
    for number in range(5000):
        assert access.grants_for(f"Type{number}", "r")
    assert len(access._decisions) <= 1024
    assert not Access("nobody").grants_for("Type4999", "r")
