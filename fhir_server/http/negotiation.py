"""Which format a request brings and wants: Accept, _format, _pretty (FHIR R4 http.html#mime-type)."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from fhir_server.http import media_ranges
from fhir_server.http.media_ranges import Weight
from resources.outcome import Invalid, NotAcceptable, NotSupported, UnsupportedMediaType

JSON = "application/fhir+json"
XML = "application/fhir+xml"
_OFFERED = (JSON, XML, "application/json", "application/xml", "text/json", "text/xml")
_XML_TYPES = frozenset({XML, "application/xml", "text/xml"})
_JSON_TYPES = frozenset({JSON, "application/json", "text/json"})
_NDJSON_NAMES = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
_FILES = "_async/"
_RENDERING = ("_format", "_pretty")
_FORM = "application/x-www-form-urlencoded"
_JSON_PATCH = "application/json-patch+json"
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_NAMED = 2
_REMEMBERED = 256
"""A longer Accept header is read each time, so that nobody fills the memory with them."""

Query = Sequence[tuple[str, str]]


class Form(NamedTuple):
    """How an answer is written: its media type, whether that is XML, whether it is indented."""

    media_type: str = JSON
    xml: bool = False
    pretty: bool = False


PLAIN = Form()


def asked(path: str, query: Query, headers: Mapping[str, str], body: Query = ()) -> Form:
    """Give the form that a request wants its answer in; raises NotAcceptable, NotSupported or Invalid.

    _format goes before Accept, and what `body` says before the query. Below _async/ there are also the files
    of exports, which are NDJSON.
    """
    if query or body:
        for pairs in (query, body):
            _refuse_twice(pairs)
        query = (*body, *query)
    return _asked(path, query, headers)


def _refuse_twice(pairs: Query) -> None:
    """Refuse _format or _pretty that comes twice: one of the two would go unheard."""
    for name in _RENDERING:
        if sum(pair[0] == name for pair in pairs) > 1:
            raise Invalid(f"{name} comes once", issue="value")


def _asked(path: str, query: Query, headers: Mapping[str, str]) -> Form:
    accept = headers.get("accept", "")
    if not query:
        form = _accepted(accept)
    else:
        wanted = next((value for name, value in query if name == "_format"), "")
        form = _formatted(wanted) if wanted else _accepted(accept)
        accept = wanted or accept
        if pretty(query):
            form = form and form._replace(pretty=True)
    if form is not None:
        return form
    if path.startswith(_FILES) and any(
        r.kind in _NDJSON_NAMES for r in media_ranges.parsed(accept)
    ):
        return PLAIN
    raise NotAcceptable(f"Answers are given as {JSON} or {XML}")


def told_in_body(path: str, body: bytes) -> Query:
    """Give _format and _pretty as the body of POST _search has them; they go before those of the URL."""
    if not searches(path) or not (b"_format" in body or b"_pretty" in body):
        return ()
    return _rendering(body)


def asked_for_error(query: bytes, headers: Mapping[str, str], body: Query = ()) -> Form:
    """Give the form that an error is told in: the one asked for, JSON where that is not offered.

    `body` is what the body of the request says of it.
    """
    pairs = (*body, *_rendering(query))
    told = [pair for pair in pairs if pair[0] == "_format" or pair[1] == "true"]
    try:
        return _asked("", told, headers)
    except NotAcceptable:
        return PLAIN


def wants_content(accept: str, media_type: str) -> bool:
    """Tell whether a content of this media type is wanted rather than the Binary around it, as JSON or XML.

    Where both are wanted alike, and the resource is not named as such, and where neither is, it is the
    content. https://hl7.org/fhir/R4/binary.html#rest
    """
    ranges = media_ranges.parsed(accept)
    weights = [media_ranges.weight(offered, ranges) for offered in _OFFERED]
    resource = max((found[:2] for found in weights if found is not None), default=None)
    if not ranges or resource is None:
        return bool(ranges)
    kind = media_type.partition(";")[0].strip().lower()
    content = media_ranges.weight(kind, ranges)
    if content is None:
        return False
    return content[:2] > resource or (content[:2] == resource and content.specificity < _NAMED)


def _rendering(query: bytes) -> Query:
    pairs = parse_qsl(query.decode("latin-1")) if query else ()
    return tuple(pair for pair in pairs if pair[0] in _RENDERING)


def searches(path: str) -> bool:
    """Tell whether a path is where a search is posted to, whatever is searched."""
    return path.rpartition("/")[2] == "_search"


def pretty(query: Query) -> bool:
    """Tell whether the answer is to be indented; raises NotSupported for a value that is no boolean."""
    value = next((value for name, value in query if name == "_pretty"), "false")
    if value not in {"true", "false"}:
        raise NotSupported("_pretty takes true or false", issue="value")
    return value == "true"


def brings_xml(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a body is XML; raises UnsupportedMediaType (415) for a format not read here."""
    given = headers.get("content-type")
    if given is None or given == JSON:
        return False
    kind, *parameters = (part.strip().lower() for part in given.split(";"))
    if (kind == _FORM and searches(path)) or (kind == _JSON_PATCH and method == "PATCH"):
        _refuse_parameters(parameters)
        return False
    if kind not in _XML_TYPES | _JSON_TYPES:
        raise _not_read(kind, method, path)
    _refuse_parameters(parameters)
    return kind in _XML_TYPES


def _not_read(kind: str, method: str, path: str) -> UnsupportedMediaType:
    """Give the refusal of a body's format, which names those that are read in its place."""
    if searches(path):
        return UnsupportedMediaType(f"_search takes {_FORM}", accept=_FORM)
    if method != "PATCH":
        return UnsupportedMediaType(f"A body is sent as {JSON} or {XML}", accept=f"{JSON}, {XML}")
    not_offered = "XML Patch is not offered. " if kind == "application/xml-patch+xml" else ""
    return UnsupportedMediaType(
        f"{not_offered}A patch is a JSON Patch ({_JSON_PATCH}), or a FHIRPath Patch as {JSON} or {XML}",
        accept_patch=f"{_JSON_PATCH}, {JSON}, {XML}",
    )


def _refuse_parameters(parameters: Sequence[str]) -> None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip('"')
        if name == "charset" and value not in _CHARSETS:
            raise UnsupportedMediaType("A body is sent in UTF-8")
        if name == "fhirversion" and value not in media_ranges.R4:
            raise UnsupportedMediaType("Resources are read as those of FHIR 4.0")


def _accepted(accept: str) -> Form | None:
    """Give the form for an Accept header, None where none of what it names is offered."""
    if not accept or accept == "*/*":
        return PLAIN
    return _chosen(accept) if len(accept) <= _REMEMBERED else _chosen.__wrapped__(accept)


def _formatted(wanted: str) -> Form | None:
    """Give the form for a value of _format, where a generic type means FHIR's own."""
    kind, _, parameters = wanted.lower().replace(" ", "+").partition(";")
    kind = media_ranges.SHORT.get(kind, kind)
    if kind in _XML_TYPES:
        kind = XML
    elif kind in _JSON_TYPES:
        kind = JSON
    elif kind != "*/*":
        return None
    return _accepted(f"{kind};{parameters}" if parameters else kind)


@functools.lru_cache(512)
def _chosen(accept: str) -> Form | None:
    """Weigh what is offered by the most specific range that names it (RFC 9110 12.5.1).

    Between equals the more closely named goes first, then the one named first, then JSON.
    """
    ranges = media_ranges.parsed(accept)
    best: Weight | None = None
    form = None
    for media_type in _OFFERED:
        found = media_ranges.weight(media_type, ranges)
        if found is not None and (best is None or found > best):
            best = found
            version = ranges[-found.place].version
            named = f"{media_type}; fhirVersion={version}" if version else media_type
            form = Form(named, media_type in _XML_TYPES)
    return PLAIN if form == PLAIN else form
