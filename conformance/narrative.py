"""The XHTML of a narrative: well-formed and without active content (FHIR R4 narrative.html)."""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

_NAMESPACE = "{http://www.w3.org/1999/xhtml}"
_ALLOWED = """
    a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd del dfn
    div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q s samp small span strike
    strong sub sup table tbody td tfoot th thead tr tt u ul var
"""
_ELEMENTS = frozenset(f"{_NAMESPACE}{name}" for name in _ALLOWED.split())
_LINKS = frozenset(("cite", "href", "longdesc"))
_IMAGES = frozenset(("background", "src"))
_SCRIPT = r"(?:java|vb)\s*script\s*:"
_ACTIVE_LINK = re.compile(rf"\s*(?:{_SCRIPT}|data\s*:)", re.IGNORECASE)
_ACTIVE_IMAGE = re.compile(rf"\s*(?:{_SCRIPT}|data\s*:(?!\s*image/))", re.IGNORECASE)
_ACTIVE_STYLE = re.compile(
    rf"expression\s*\(|{_SCRIPT}|-moz-binding|behavior\s*:|@import", re.IGNORECASE
)

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def faults(div: str) -> Iterator[tuple[str, str]]:
    """Give an issue code and a sentence for each rule that a narrative's div breaks."""
    if not div.lstrip().startswith("<div"):
        yield "structure", "Expected one div element of XHTML, nothing before it"
        return
    try:
        root = etree.fromstring(div, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        yield (
            "structure",
            "Expected well-formed XHTML, with characters instead of HTML's named entities",
        )
        return
    if root.tag != f"{_NAMESPACE}div":
        yield "structure", 'Expected a div of the namespace "http://www.w3.org/1999/xhtml"'
        return
    yield from _content_faults(root)


def _content_faults(root: Any) -> Iterator[tuple[str, str]]:
    has_content = False
    for element in root.iter():
        if element.tag is etree.Comment:
            continue
        if element.tag not in _ELEMENTS:
            yield "invariant", "Only the elements of basic HTML formatting may stand here (txt-1)"
            return
        if any(_is_active(name, value) for name, value in element.attrib.items()):
            yield "invariant", "Event attributes and active addresses may not stand here (txt-1)"
            return
        has_content = has_content or element.tag == f"{_NAMESPACE}img"
    if not has_content and not any(text.strip() for text in root.itertext()):
        yield "invariant", "The narrative has some content that is not white space (txt-2)"


def _is_active(name: str, value: str) -> bool:
    name = name.lower()
    if name == "style":
        return _ACTIVE_STYLE.search(value) is not None
    if name in _LINKS:
        return _ACTIVE_LINK.match(value) is not None
    if name in _IMAGES:
        return _ACTIVE_IMAGE.match(value) is not None
    return name.startswith("on") or name.endswith("}href")
