"""The grammar of SMART scopes 1 and 2, and the grants they stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import Grant
from smart_auth.scopes import MUST_BE_NAMED, WORDS, MalformedScope, grants, parse


@pytest.mark.parametrize(
    ("text", "level", "type_", "letters", "query"),
    [
        ("patient/Observation.read", "patient", "Observation", "rs", ()),
        ("patient/Observation.write", "patient", "Observation", "cud", ()),
        ("user/Observation.*", "user", "Observation", "cruds", ()),
        ("patient/*.read", "patient", "*", "rs", ()),
        ("system/*.*", "system", "*", "cruds", ()),
        ("patient/Observation.rs", "patient", "Observation", "rs", ()),
        ("user/ImagingStudy.r", "user", "ImagingStudy", "r", ()),
        ("system/*.cruds", "system", "*", "cruds", ()),
        ("patient/Task.cu", "patient", "Task", "cu", ()),
        ("patient/Task.d", "patient", "Task", "d", ()),
        (
            "patient/Observation.rs?category=laboratory",
            "patient",
            "Observation",
            "rs",
            (("category", "laboratory"),),
        ),
        (
            "patient/Observation.rs?category=http%3A%2F%2Fx%7Claboratory&status=final",
            "patient",
            "Observation",
            "rs",
            (("category", "http://x|laboratory"), ("status", "final")),
        ),
        ("patient/Observation.rs?code:in=x", "patient", "Observation", "rs", (("code:in", "x"),)),
        ("user/*.rs?_security=R", "user", "*", "rs", (("_security", "R"),)),
    ],
)
def test_a_scope_means(text, level, type_, letters, query):
    (scope,) = parse(text).clinical
    assert (scope.level, scope.type, scope.letters, scope.query) == (
        level,
        type_,
        frozenset(letters),
        query,
    )
    assert scope.text == text


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.sr",
        "patient/Observation.dcu",
        "patient/Observation.rr",
        "patient/Observation.",
        "patient/Observation",
        "patient/Observation.Read",
        "patient/Observation.reads",
        "patient/observation.rs",
        "patient/.rs",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?=x",
        "patient/Observation.rs?category=%FF",
        "patient/Observation.read?category=x",
        "patient/*.*?category=x",
        "patient/Observation.rs?_count=1",
        "patient/Observation.rs?_include=Observation:subject",
        "patient/Observation.rs?_include:iterate=Observation:subject",
        "patient/Observation.rs?_sort=date",
        "system/Obs/ervation.rs",
        "user/*.*.rs",
    ],
)
def test_a_malformed_scope_is_refused(text):
    with pytest.raises(MalformedScope):
        parse(f"openid {text}")


def test_words_that_are_not_offered_are_left_out():
    assert parse("openid profile launch/other encounter/X.rs").words == ("openid",)


def test_a_repeated_scope_counts_once():
    assert parse("openid openid patient/*.rs patient/*.rs").text == "openid patient/*.rs"


RS = frozenset("rs")


def of_people(*parts):
    """A grant of a person's scopes, which reach types of their own by name only."""
    return Grant(*parts, apart=MUST_BE_NAMED)


@pytest.mark.parametrize(
    ("text", "patient", "user", "wanted"),
    [
        ("patient/*.rs", "ann", "Practitioner/d", (of_people("*", RS, "ann"),)),
        ("patient/*.rs", None, "Practitioner/d", ()),
        ("patient/*.rs", "", "Practitioner/d", ()),
        ("patient/*.rs", None, "Patient/ann", ()),
        ("user/*.rs", None, "Practitioner/d", (of_people("*", RS),)),
        ("user/*.rs", "ann", "Practitioner/d", (of_people("*", RS),)),
        ("user/*.rs", None, "PractitionerRole/d", (of_people("*", RS),)),
        ("user/*.rs", None, "Patient/bob", (of_people("*", RS, "bob"),)),
        ("user/*.rs", "ann", "Patient/bob", (of_people("*", RS, "bob"),)),
        ("user/*.rs", "ann", "RelatedPerson/k", ()),
        ("user/*.rs", "ann", "Person/k", ()),
        ("user/*.rs", None, "Practitioner/", ()),
        ("user/*.rs", None, None, ()),
        ("system/*.rs", None, None, (Grant("*", RS),)),
        (
            "patient/Observation.rs?status=final",
            "ann",
            None,
            (of_people("Observation", RS, "ann", (("status", "final"),)),),
        ),
        ("openid fhirUser launch/patient offline_access", "ann", "Practitioner/d", ()),
        ("", "ann", "Practitioner/d", ()),
    ],
)
def test_scopes_become_grants(text, patient, user, wanted):
    assert grants(parse(text), patient, user) == wanted


@pytest.mark.parametrize(
    ("asked", "allowed", "left"),
    [
        ("patient/*.rs", "patient/*.cruds", "patient/*.rs"),
        ("patient/*.read", "patient/*.rs", "patient/*.read"),
        ("patient/*.cruds", "patient/*.rs", "patient/*.rs"),
        ("patient/*.*", "patient/*.read", "patient/*.rs"),
        ("patient/*.rs", "patient/Observation.rs patient/Patient.r", None),
        ("patient/Observation.rs", "patient/*.rs?status=final", None),
        ("patient/*.rs", "user/*.rs system/*.rs", ""),
        ("patient/Observation.rs", "patient/Patient.rs", ""),
        ("patient/Observation.cud", "patient/*.rs", ""),
        ("patient/Observation.rs?status=final", "patient/*.rs", None),
        ("openid offline_access", "openid", "openid"),
    ],
)
def test_scopes_are_cut_to_what_a_client_may_have(asked, allowed, left):
    expected = {
        ("patient/*.rs", "patient/Observation.rs patient/Patient.r"): (
            "patient/Observation.rs patient/Patient.r"
        ),
        ("patient/Observation.rs", "patient/*.rs?status=final"): (
            "patient/Observation.rs?status=final"
        ),
        ("patient/Observation.rs?status=final", "patient/*.rs"): (
            "patient/Observation.rs?status=final"
        ),
    }
    wanted = expected[asked, allowed] if left is None else left
    assert parse(asked).narrowed(parse(allowed)).text == wanted


@pytest.mark.parametrize(
    ("asked", "granted", "inside"),
    [
        ("patient/Observation.rs", "patient/*.rs", True),
        ("patient/Observation.rs?status=final", "patient/Observation.rs", True),
        ("patient/Observation.rs", "patient/Observation.rs?status=final", False),
        ("patient/Observation.cruds", "patient/*.rs", False),
        ("user/Observation.rs", "patient/*.rs", False),
        ("openid", "patient/*.rs", False),
    ],
)
def test_a_refresh_may_only_narrow(asked, granted, inside):
    assert parse(asked).within(parse(granted)) is inside


CLAIM = st.builds(
    "{}/{}.{}{}".format,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Observation", "Patient"]),
    st.sampled_from(["r", "s", "rs", "cruds", "cu", "d"]),
    st.sampled_from(["", "?status=final", "?category=a%7Cb", "?status=final&category=x%26y"]),
)
ANY = st.lists(CLAIM | st.sampled_from(WORDS), max_size=5).map(" ".join)


@given(ANY, ANY)
def test_what_is_left_of_scopes_is_within_both(asked, allowed):
    left = parse(asked).narrowed(parse(allowed))
    assert left.within(parse(asked))
    assert left.within(parse(allowed))
    assert parse(left.text) == left


@given(st.text(max_size=80) | st.text("patientusrym/*.crdO?=&%7C ", max_size=60))
def test_any_text_is_parsed_or_refused(text):
    try:
        parsed = parse(text)
    except MalformedScope:
        return
    assert parse(parsed.text) == parsed
    assert grants(parsed, None, None) == grants(parsed.only(["system"]), None, None)
