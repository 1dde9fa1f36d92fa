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


@pytest.mark.parametrize(
    "path", ["_search", "Patient/_search", "Patient/1/Observation/_search", "Patient/1/*/_search"]
)
def test_a_search_by_post_may_name_the_form_in_its_body(path):
    told = negotiation.told_in_body(path, b"name=a&_format=xml&_pretty=true&bogus=1")
    assert told == (("_format", "xml"), ("_pretty", "true"))
    form = negotiation.asked(path, (("_format", "json"),), {"accept": "text/html"}, told)
    assert form == Form(XML, xml=True, pretty=True)
    assert negotiation.asked_for_error(b"_format=json", {"accept": JSON}, told) == form
    assert negotiation.told_in_body(path, b"name=_format") == ()


@pytest.mark.parametrize(
    "path", ["Patient", "Patient/_searched", "x_search", "", "_search/Patient"]
)
def test_what_is_no_search_has_no_form_in_its_body(path):
    assert negotiation.told_in_body(path, b"_format=xml&_pretty=true") == ()


CONTENT_WANTED = [
    ("*/*", True),
    ("text/plain", True),
    ("text/*", True),
    ("image/png", True),  # what is asked for is not there, and no resource is asked for
    (f"{JSON};q=0, */*", True),
    (f"{JSON};q=0.1, text/plain", True),
    (f"{JSON};q=0.1, text/*", True),
    (f"{XML};q=0.9, {JSON};q=0.5, TEXT/PLAIN", True),
    ("application/xml;q=0.7, */*;q=0.8", True),
    ("", False),
    (JSON, False),
    ("application/xml", False),
    (f"{JSON}, */*", False),
    (f"{JSON}, text/plain", False),
    (f"text/plain;q=0.5, {JSON}", False),
    (f"{JSON};q=0.1, image/png", False),
    (f"text/plain;q=0, {JSON};q=0.1", False),
    (FIREFOX, False),
]


@pytest.mark.parametrize(("accept", "wanted"), CONTENT_WANTED)
def test_a_content_and_its_resource_are_weighed_against_each_other(accept, wanted):
    for media_type in ("text/plain", "Text/Plain; charset=utf-8"):
        assert negotiation.wants_content(accept, media_type) is wanted


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


FORM = "application/x-www-form-urlencoded"
PATCH = "application/json-patch+json"


@pytest.mark.parametrize("path", ["_search", "Patient/_search", "Patient/1/Observation/_search"])
def test_a_search_is_posted_as_a_form_wherever_there_is_one(path):
    for kind in (FORM, f"{FORM.upper()}; charset=UTF-8"):
        assert negotiation.brings_xml("POST", path, {"content-type": kind}) is False


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("POST", "_search", f"{FORM}; charset=iso-8859-1"),
        ("POST", "Patient/_search", f"{FORM};charset=utf-16"),
        ("PATCH", "Patient/1", f"{PATCH}; charset=iso-8859-1"),
        ("PATCH", "Patient/1", f'{PATCH}; charset="UTF-16"'),
        ("PATCH", "Patient/1", f"{PATCH}; fhirVersion=3.0"),
        ("POST", "Patient/x_search", FORM),
        ("PUT", "Patient/1", PATCH),
    ],
)
def test_forms_and_patches_come_in_utf8_and_where_they_are_read(method, path, given):
    with pytest.raises(UnsupportedMediaType):
        negotiation.brings_xml(method, path, {"content-type": given})


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
    with pytest.raises(UnsupportedMediaType, match=r"not offered\. A patch is a JSON Patch"):
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
