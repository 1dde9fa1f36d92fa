"""The XHTML of a narrative: well-formed and without active content (FHIR R4 narrative.html)."""

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from lxml import etree

_NAMESPACE = "http://www.w3.org/1999/xhtml"
_START = f'<div xmlns="{_NAMESPACE}"'
_ALLOWED = """
    a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd del dfn
    div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q s samp small span strike
    strong sub sup table tbody td tfoot th thead tr tt u ul var
"""
_NAMES = frozenset(_ALLOWED.split())
_ELEMENTS = frozenset(f"{{{_NAMESPACE}}}{name}" for name in _NAMES)
# HTML 4.0, chapters 7 to 11 and 15, with the attributes of a, img, map and area (narrative.html)
_ALLOWED_ATTRIBUTES = """
    abbr accesskey align alt axis background bgcolor border cellpadding cellspacing char charoff charset
    cite class clear cols color colspan compact coords datetime dir face frame headers height href
    hreflang id idref ismap lang link longdesc name nohref noshade nowrap rel rev rows rowspan rules scope
    shape size span src start style summary tabindex text title translate type usemap valign value
    width xmlns
"""
_ATTRIBUTES = frozenset(_ALLOWED_ATTRIBUTES.split())
_XML = "{http://www.w3.org/XML/1998/namespace}"
_OF_XML = frozenset((f"{_XML}lang", f"{_XML}space", f"{_XML}base", f"{_XML}id"))
_LINKS = frozenset(("cite", "href", "longdesc"))
_IMAGES = frozenset(("background", "src"))
_ADDRESSES = (*_LINKS, *_IMAGES)
_ACTIVE_STYLE = re.compile(
    r"expression\s*\(|@import|-moz-binding|behavior\s*:|script\s*:", re.IGNORECASE
)
_TAGS = re.compile(r"<([^\s/>]+)")
_ATTRIBUTE = re.compile(r"\s([^\s=<>\"']{1,60})\s{0,9}=")
_CONTENT = re.compile(r">\s*[^\s<]|<img")
_EVENT = re.compile(r"on[a-z]{1,30}\s*=")
_UNSURE = ("&#", "<!", "<?", "expression", "import", "binding", "behavior", "script:", "data:")
_SAFE_ADDRESS = re.compile(
    r"""(?:href|src|cite|longdesc|background)=["'](?:https?://|\#|mailto:|tel:|[a-z]+/)"""
)
_IGNORED_IN_SCHEMES = re.compile(r"[\s\x00-\x20]+")

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def faults(div: str) -> Iterator[tuple[str, str]]:
    """Give an issue code and a sentence for each rule that a narrative's div breaks."""
    if not div.lstrip().startswith("<div"):
        yield "structure", "Expected one div element of XHTML, nothing before it"
        return
    try:
        if _is_plain(div):
            expat.ParserCreate(None, " ").Parse(div, True)  # noqa: FBT003 - the C function takes it so
            return
        root = etree.fromstring(div, _PARSER)
    except (expat.ExpatError, etree.XMLSyntaxError, ValueError):
        sentence = "Expected well-formed XHTML, with characters instead of HTML's named entities"
        yield "structure", sentence
        return
    yield from _content_faults(root)


def _is_plain(div: str) -> bool:
    """Whether the text alone shows XHTML to be right if well-formed, as it does for most."""
    text = div.lower()
    for mark in _UNSURE:
        if mark in text:
            return False
    return (
        div.startswith(_START)
        and text.count("xmlns") == 1
        and _EVENT.search(text) is None
        and _has_safe_addresses(text)
        and _CONTENT.search(div) is not None
        and _NAMES.issuperset(_TAGS.findall(div))
        and _ATTRIBUTES.issuperset(_ATTRIBUTE.findall(div))
    )


def _has_safe_addresses(text: str) -> bool:
    mentioned = 0
    for name in _ADDRESSES:
        mentioned += text.count(name)
    return mentioned == 0 or mentioned == len(_SAFE_ADDRESS.findall(text))


def _content_faults(root: Any) -> Iterator[tuple[str, str]]:
    if root.tag != f"{{{_NAMESPACE}}}div":
        yield "structure", f'Expected a div of the namespace "{_NAMESPACE}"'
        return
    has_image = False
    for element in root.iter():
        if element.tag is etree.Comment:
            continue
        if element.tag not in _ELEMENTS:
            yield "invariant", "Only the elements of basic HTML formatting may stand here (txt-1)"
            return
        if any(_is_active(name, value) for name, value in element.attrib.items()):
            yield "invariant", "Event attributes and active addresses may not stand here (txt-1)"
            return
        if not all(name in _ATTRIBUTES or name in _OF_XML for name in element.attrib):
            yield "invariant", "Only the attributes of basic HTML formatting may stand here (txt-1)"
            return
        has_image = has_image or element.tag == f"{{{_NAMESPACE}}}img"
    if not has_image and not any(text.strip() for text in root.itertext()):
        yield "invariant", "The narrative has some content that is not white space (txt-2)"


def _is_active(name: str, value: str) -> bool:
    name = name.lower()
    if name == "style":
        return _ACTIVE_STYLE.search(value) is not None
    if name in _LINKS or name in _IMAGES:
        address = _IGNORED_IN_SCHEMES.sub("", value).lower()
        if name in _IMAGES and address.startswith("data:image/"):
            return False
        return address.startswith(("javascript:", "vbscript:", "data:"))
    return name.startswith("on") or name.endswith("}href")
