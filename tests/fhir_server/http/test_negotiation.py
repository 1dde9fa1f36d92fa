"""Accept, _format, _pretty and Content-Type as tables: http.html#mime-type, RFC 9110 12.5.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.http import negotiation
from fhir_server.http.negotiation import JSON, PLAIN, XML, Form
from resources.outcome import NotAcceptable, NotSupported, UnsupportedMediaType

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def accepted(accept):
    return negotiation.asked("Patient/1", (), {"accept": accept}).media_type


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", "text/json"),
        (JSON, JSON),
        (XML, XML),
        ("application/json", "application/json"),
        ("text/json", "text/json"),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml"),
        ("APPLICATION/FHIR+XML ; charset=utf-8", XML),
        (f"{XML}, {JSON}", XML),
        (f"{JSON}, {XML}", JSON),
        (f"{JSON};q=0.5, {XML}", XML),
        (f"{JSON};q=0.5, {XML};q=0.4", JSON),
        (f"{JSON}; q=0.5, */*; q=0.1", JSON),
        (f"{XML}, */*", XML),
        ("application/xml;q=0.9, application/fhir+xml, */*;q=0.1", XML),
        (f"{JSON};q=0, */*", XML),
        (f"{JSON};q=0, application/json;q=0, text/json;q=0.0, application/*", XML),
        ("text/turtle, application/xml;q=0.2", "application/xml"),
        ("application/json, text/plain, */*", "application/json"),  # what axios sends
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),  # an old JVM
        (CHROME, "application/xml"),
        (FIREFOX, "application/xml"),
        (f"{JSON}; fhirVersion=4.0", f"{JSON}; fhirVersion=4.0"),
        (f'{XML};fhirVersion="4.0.1"', f"{XML}; fhirVersion=4.0.1"),
        (f"{JSON};fhirVersion=3.0, {XML};fhirVersion=4.0", f"{XML}; fhirVersion=4.0"),
        (f"{JSON}, {'x/' + 'y' * 300}", JSON),
    ],
)
def test_accept_chooses_by_quality_then_by_how_closely_it_names(accept, media_type):
    assert accepted(accept) == media_type


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/turtle",
        "image/png, text/html;q=0.5",
        "*/*;q=0",
        f"{JSON};q=0",
        f"{JSON};fhirVersion=3.0",
        f"{XML}; fhirVersion=5.0",
        "application/fhir+ndjson",
        "nonsense",
        ",",
    ],
)
def test_what_is_not_offered_is_not_acceptable(accept):
    with pytest.raises(NotAcceptable):
        accepted(accept)


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        ("json", JSON),
        ("application/json", JSON),
        ("text/json", JSON),
        ("application/fhir json", JSON),  # a + that was not escaped
        (JSON, JSON),
        ("xml", XML),
        ("text/xml", XML),
        ("application/xml", XML),
        ("application/fhir xml", XML),
        (XML, XML),
        (f"{XML};fhirVersion=4.0", f"{XML}; fhirVersion=4.0"),
        ("", "application/xml"),
    ],
)
def test_format_goes_before_accept(value, media_type):
    headers = {"accept": "application/xml"}
    assert negotiation.asked("Patient", (("_format", value),), headers).media_type == media_type


@pytest.mark.parametrize(
    "value", ["html", "text/html", "ttl", "text/turtle", "xml;fhirVersion=3.0"]
)
def test_a_format_that_is_not_offered_is_not_acceptable(value):
    with pytest.raises(NotAcceptable):
        negotiation.asked("Patient", (("_format", value),), {})


def test_pretty_is_a_boolean():
    form = negotiation.asked("Patient", (("_pretty", "true"),), {"accept": XML})
    assert form == Form(XML, xml=True, pretty=True)
    assert negotiation.asked("Patient", (("_pretty", "false"),), {}) is PLAIN
    with pytest.raises(NotSupported):
        negotiation.asked("Patient", (("_pretty", "yes"),), {})


def test_files_of_exports_are_ndjson():
    headers = {"accept": "application/fhir+ndjson"}
    assert negotiation.asked("_async/1/Patient.ndjson", (), headers) is PLAIN


def test_a_search_by_post_may_name_the_format_in_its_body():
    form = negotiation.asked_by_form("Patient/_search", b"name=a&_format=xml", PLAIN)
    assert form == Form(XML, xml=True)
    assert negotiation.asked_by_form("Patient/_search", b"name=_format", PLAIN) is PLAIN
    assert negotiation.asked_by_form("Patient", b"_format=xml", PLAIN) is PLAIN


@pytest.mark.parametrize(
    ("query", "accept", "form"),
    [
        (b"", XML, Form(XML, xml=True)),
        (b"", "text/html", PLAIN),
        (b"_format=xml&_pretty=nonsense", "", Form(XML, xml=True)),
        (b"%ff%5Fformat=%zz&_format=application/fhir%2Bxml", "", Form(XML, xml=True)),
        (b"_pretty=true", "", Form(JSON, pretty=True)),
    ],
)
def test_an_error_is_told_in_the_form_asked_for_else_in_json(query, accept, form):
    assert negotiation.asked_for_error(query, {"accept": accept}) == form


@pytest.mark.parametrize(
    ("given", "is_xml"),
    [
        (None, False),
        (JSON, False),
        ("application/json", False),
        ("text/json; charset=UTF-8", False),
        (f"{JSON};fhirVersion=4.0", False),
        (XML, True),
        ("application/xml", True),
        ('Text/XML; charset="utf-8"', True),
        (f"{XML}; fhirVersion=4.0.1; charset=utf-8", True),
    ],
)
def test_a_body_is_read_by_its_media_type(given, is_xml):
    headers = {} if given is None else {"content-type": given}
    assert negotiation.brings_xml("PUT", "Patient/1", headers) is is_xml


@pytest.mark.parametrize(
    "given",
    [
        "",
        "text/plain",
        "text/html",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
        "application/xml-patch+xml",
        f"{XML};charset=iso-8859-1",
        "application/json; charset=utf-16",
        f"{JSON}; fhirVersion=3.0",
    ],
)
def test_a_body_of_another_kind_is_an_unsupported_media_type(given):
    with pytest.raises(UnsupportedMediaType):
        negotiation.brings_xml("POST", "Patient", {"content-type": given})


def test_an_xml_patch_is_refused_with_what_to_send_instead():
    with pytest.raises(UnsupportedMediaType, match="send a JSON Patch, or a FHIRPath Patch"):
        negotiation.brings_xml("PATCH", "Patient/1", {"content-type": "application/xml-patch+xml"})


RANGES = st.lists(
    st.tuples(
        st.sampled_from([JSON, XML, "*/*", "text/*", "application/xml", "image/png", ""]),
        st.sampled_from(["", ";q=0", ";q=0.3", ";q=1", ";q=x", ";q", "; fhirVersion=4.0", ";;"]),
    ).map("".join)
    | st.text(max_size=10),
    max_size=5,
).map(",".join)


@given(RANGES)
def test_any_accept_header_is_answered_or_refused(accept):
    try:
        form = negotiation.asked("Patient", (), {"accept": accept})
    except NotAcceptable:
        return
    assert form.xml is ("xml" in form.media_type)
