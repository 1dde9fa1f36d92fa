"""The paths of urls, identifier types and versions that modifiers look at."""

import pytest

from fhir_server.search import codes
from fhir_server.search.beside_values import media_base, typed
from fhir_server.search.knowledge import Known, Recorder
from resources.outcome import Invalid, NotSupported


def test_what_is_above_a_url_are_the_beginnings_of_its_path():
    assert set(codes.starts("http://a.org/b/c")) == {
        "http://a.org/b/c",
        "http://a.org/b",
        "http://a.org/b/",
        "http://a.org",
        "http://a.org/",
    }
    assert "http://a.org/b/c" in codes.starts("http://a.org/b/c/")


@pytest.mark.parametrize("value", ["urn:oid:1.2.3", "a/b", "", "://x"])
def test_a_urn_is_not_above_or_below_anything(value):
    with pytest.raises(Invalid):
        codes.url(value, "above")


def test_a_type_and_a_value_never_look_like_two_others():
    assert (
        len({typed("a", "b|c"), typed("a|b", "c"), typed("a\\", "b|c"), typed("a", "\\b|c")}) == 4
    )


def test_the_base_of_a_media_type_has_no_parameters_and_no_case():
    assert media_base("Text/XML; charset=utf-8") == "text/xml"


def test_a_recorder_notes_what_is_asked():
    recorder = Recorder()
    assert not recorder.anything
    assert recorder.members("http://vs") == ()
    assert recorder.concepts("http://s", "a", "below") == (("http://s", "a"),)
    assert recorder.line(("Location", "1", "above")) == ("1",)
    assert (recorder.value_sets, recorder.systems) == ({"http://vs"}, {"http://s"})
    assert recorder.anything


def test_a_line_that_was_not_fetched_is_refused():
    with pytest.raises(NotSupported):
        Known().line(("Location", "1", "below"))
