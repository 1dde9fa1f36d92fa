"""The XHTML of a narrative between JSON and XML: kept to the letter (FHIR R4 narrative.html, xml.html)."""

from collections.abc import Sequence
from typing import Any
from xml.parsers import expat
from xml.sax import saxutils

from lxml import etree

from resources.xml_fault import Misfit
from resources.xml_shape import FHIR, XHTML

Declared = Sequence[tuple[str | None, str]]

_DIV = f"{XHTML} div"
_PLAIN = frozenset(((None, FHIR), (None, XHTML)))
_UNREADABLE = "Expected one div element of well-formed XHTML in its own namespace"
_PARSER = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
)


def written(div: Any) -> str:
    """Give the XML of a JSON div, which is the div itself; raises Misfit where it is not XHTML."""
    if not isinstance(div, str):
        raise Misfit(_UNREADABLE)
    text = div.strip()
    if not text.startswith("<div") or "<?" in text or not _is_whole(text):
        raise Misfit(_UNREADABLE)
    return text


def _is_whole(div: str) -> bool:
    """Tell whether a text is one div of XHTML that needs nothing from around it."""
    found: list[str] = []
    parser = expat.ParserCreate("utf-8", " ")

    def first(tag: str, _attributes: dict[str, str]) -> None:
        found.append(tag)
        parser.StartElementHandler = None

    parser.StartElementHandler = first
    try:
        parser.Parse(div, True)  # noqa: FBT003 - the C function takes it so
    except (expat.ExpatError, UnicodeEncodeError):
        return False
    return found == [_DIV]


def read(div: bytes, declared: Declared) -> str:
    """Give the JSON of a div as it stood in a document that declared these namespaces around it."""
    text = div.decode()
    if text.startswith("<div") and (_PLAIN.issuperset(declared) or _is_whole(text)):
        return text
    return _rewritten(text, declared)


def _rewritten(text: str, declared: Declared) -> str:
    """Give a div that leans on namespaces declared outside it as one that declares its own."""
    spaces = {f"xmlns:{prefix}" if prefix else "xmlns": uri for prefix, uri in declared}
    around = "".join(f" {name}={saxutils.quoteattr(uri)}" for name, uri in spaces.items())
    try:
        root = etree.fromstring(f"<around{around}>{text}</around>", _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        raise Misfit(_UNREADABLE) from None
    parts: list[str] = []
    _write(parts, root[0], "")
    return "".join(parts)


def _write(parts: list[str], element: Any, outer: str) -> None:
    name = etree.QName(element)
    space = name.namespace or ""
    parts.append(f"<{name.localname}")
    if space != outer:
        parts.append(f" xmlns={saxutils.quoteattr(space)}")
    for key, value in element.attrib.items():
        parts.append(f" {_attribute(key)}={saxutils.quoteattr(value)}")
    if element.text is None and len(element) == 0:
        parts.append("/>")
        return
    parts.append(">")
    parts.append(saxutils.escape(element.text or ""))
    for child in element:
        _write(parts, child, space)
        parts.append(saxutils.escape(child.tail or ""))
    parts.append(f"</{name.localname}>")


def _attribute(key: str) -> str:
    name = etree.QName(key)
    if name.namespace is None:
        return key
    if name.namespace != "http://www.w3.org/XML/1998/namespace":
        raise Misfit("The narrative has attributes of XHTML and of no other namespace")
    return f"xml:{name.localname}"
