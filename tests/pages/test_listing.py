"""JSON is shown as it is stored, escaped, its references as links."""

import html
import re

from lxml import etree

from fhir_server.pages import listing


def nowhere(_):
    return ""


def test_the_text_is_the_json_and_numbers_keep_their_digits():
    shown = str(listing.coloured(b'{"a":[1.10,-2e3,true,null],"b":"x"}', nowhere))
    text = html.unescape(re.sub(r"<[^>]*>", "", shown))
    assert text == '{\n  "a": [\n    1.10,\n    -2e3,\n    true,\n    null\n  ],\n  "b": "x"\n}'


def test_markup_in_strings_and_names_is_escaped():
    body = b'{"<b>":"</code><script>alert(1)</script>\\"<i>"}'
    shown = str(listing.coloured(body, nowhere))
    root = etree.fromstring(f"<pre>{shown}</pre>")
    assert {element.tag for element in root.iter()} == {"pre", "span"}


def test_references_are_links_where_they_lead_somewhere():
    shown = str(
        listing.coloured(
            b'{"reference":"Patient/1","Patient/1":2}',
            lambda text: f"/resources/{text}" if text == "Patient/1" else "",
        )
    )
    assert shown.count('<a href="/resources/Patient/1">') == 1


def test_what_is_too_long_is_not_coloured():
    assert listing.coloured(b'"' + b"a " * listing.MOST_BYTES + b'"', nowhere) is None


def test_long_content_is_cut():
    shown = str(listing.coloured(b'{"data":"' + b"iVBO" * 200_000 + b'"}', nowhere))
    assert len(shown) < 500
    assert "and so on" in shown
