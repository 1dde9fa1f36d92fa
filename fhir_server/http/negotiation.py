"""Which format a request brings and wants: Accept, _format, _pretty (FHIR R4 http.html#mime-type)."""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from resources.outcome import NotAcceptable, NotSupported, UnsupportedMediaType

JSON = "application/fhir+json"
XML = "application/fhir+xml"
_OFFERED = (JSON, XML, "application/json", "application/xml", "text/json", "text/xml")
_XML_TYPES = frozenset({XML, "application/xml", "text/xml"})
_JSON_TYPES = frozenset({JSON, "application/json", "text/json"})
_SHORT = {"json": JSON, "xml": XML}
_NDJSON_NAMES = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
_FILES = "_async/"
_FORM = "application/x-www-form-urlencoded"
_JSON_PATCH = "application/json-patch+json"
_R4 = frozenset({"4.0", "4.0.1"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_REMEMBERED = 256
"""A longer Accept header is read each time, so that nobody fills the memory with them."""

Query = Sequence[tuple[str, str]]


class Form(NamedTuple):
    """How an answer is written: its media type, whether that is XML, whether it is indented."""

    media_type: str = JSON
    xml: bool = False
    pretty: bool = False


class _Range(NamedTuple):
    """One media range of an Accept header; version is its fhirVersion, empty where it has none."""

    kind: str
    quality: float
    version: str

    def specificity(self, media_type: str) -> int:
        """Give how closely the range names a media type: 2, 1 or 0, and -1 where it does not."""
        if self.kind == media_type:
            return 2
        if self.kind == "*/*":
            return 0
        group, _, rest = self.kind.partition("/")
        return 1 if rest == "*" and media_type.startswith(f"{group}/") else -1


PLAIN = Form()


def asked(path: str, query: Query, headers: Mapping[str, str]) -> Form:
    """Give the form that a request wants its answer in; raises NotAcceptable or NotSupported.

    _format goes before Accept. Below _async/ there are also the files of exports, which are NDJSON.
    """
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
    if path.startswith(_FILES) and any(r.kind in _NDJSON_NAMES for r in _ranges(accept)):
        return PLAIN
    raise NotAcceptable(f"Answers are given as {JSON} or {XML}")


def asked_by_form(path: str, body: bytes, form: Form) -> Form:
    """Give the form that the body of POST _search asks for, which goes before the form given."""
    if not path.endswith("_search") or b"_format" not in body:
        return form
    pairs = parse_qsl(body.decode("latin-1"))
    wanted = [pair for pair in pairs if pair[0] == "_format"]
    return asked(path, wanted, {})._replace(pretty=form.pretty) if wanted else form


def asked_for_error(query: bytes, headers: Mapping[str, str]) -> Form:
    """Give the form that an error is told in: the one asked for, JSON where that is not offered."""
    pairs = parse_qsl(query.decode("latin-1"))
    told = [pair for pair in pairs if pair[0] == "_format" or pair == ("_pretty", "true")]
    try:
        return asked("", told, headers)
    except NotAcceptable:
        return PLAIN


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
    if (kind == _FORM and path.endswith("/_search")) or (kind == _JSON_PATCH and method == "PATCH"):
        return False
    if kind == "application/xml-patch+xml":
        raise UnsupportedMediaType(
            f"XML Patch is not offered; send a JSON Patch, or a FHIRPath Patch as {JSON} or {XML}"
        )
    if kind not in _XML_TYPES | _JSON_TYPES:
        raise UnsupportedMediaType(f"A body is sent as {JSON} or {XML}")
    _refuse_parameters(parameters)
    return kind in _XML_TYPES


def _refuse_parameters(parameters: Sequence[str]) -> None:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        value = value.strip('"')
        if name == "charset" and value not in _CHARSETS:
            raise UnsupportedMediaType("A body is sent in UTF-8")
        if name == "fhirversion" and value not in _R4:
            raise UnsupportedMediaType("Resources are read as those of FHIR 4.0")


def _accepted(accept: str) -> Form | None:
    """Give the form for an Accept header, None where none of what it names is offered."""
    if not accept or accept == "*/*":
        return PLAIN
    return _chosen(accept) if len(accept) <= _REMEMBERED else _chosen.__wrapped__(accept)


def _formatted(wanted: str) -> Form | None:
    """Give the form for a value of _format, where a generic type means FHIR's own."""
    kind, _, parameters = wanted.lower().replace(" ", "+").partition(";")
    kind = _SHORT.get(kind, kind)
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
    ranges = _ranges(accept)
    best: tuple[float, int, int] | None = None
    form = None
    for media_type in _OFFERED:
        found = _weight(media_type, ranges)
        if found is not None and (best is None or found > best):
            best = found
            version = ranges[-found[2]].version
            named = f"{media_type}; fhirVersion={version}" if version else media_type
            form = Form(named, media_type in _XML_TYPES)
    return PLAIN if form == PLAIN else form


def _weight(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int, int] | None:
    """Give quality, specificity and (negative) place of the range that decides on a media type."""
    named = [
        (specificity, -place, held.quality)
        for place, held in enumerate(ranges)
        if (specificity := held.specificity(media_type)) >= 0
    ]
    if not named:
        return None
    specificity, place, quality = max(named)
    return (quality, specificity, place) if quality > 0 else None


def _ranges(accept: str) -> list[_Range]:
    """Parse an Accept header; ranges of other FHIR versions are left out, as nothing here is theirs."""
    found = []
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        given = {
            name.strip(): value.strip(' "')
            for name, _, value in (piece.partition("=") for piece in parameters)
        }
        version = given.get("fhirversion", "")
        kind = _SHORT.get(kind, kind.replace(" ", "+"))
        if kind and (not version or version in _R4):
            found.append(_Range(kind, _quality(given.get("q", "1")), version))
    return found


def _quality(text: str) -> float:
    """Give a quality from 0 to 1; what is no number counts as 1, as if it were not there."""
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or not text.isascii():
        return 1.0
    return min(float(f"{whole or 0}.{fraction or 0}"), 1.0)
