"""Which format a request brings and wants: Accept, _format, _pretty (FHIR R4 http.html#mime-type)."""

from collections.abc import Mapping, Sequence

import msgspec

from resources.outcome import NotAcceptable, NotSupported, UnsupportedMediaType

JSON = "application/fhir+json"
_JSON_NAMES = frozenset({JSON, "application/json", "json", "text/json", "*/*", "application/*"})
_NDJSON_NAMES = frozenset({"application/fhir+ndjson", "application/ndjson", "ndjson"})
_FILES = "_async/"
_BODY_TYPES = frozenset({JSON, "application/json", "text/json"})
_FORM = "application/x-www-form-urlencoded"
_R4 = frozenset({"4.0", "4.0.1"})


def refuse_unreadable(headers: Mapping[str, str], path: str) -> None:
    """Refuse a body in a format that is not read here; raises UnsupportedMediaType (415)."""
    given = headers.get("content-type")
    if given is None:
        return
    kind = given.partition(";")[0].strip().lower()
    if kind == _FORM and path.endswith("/_search"):
        return
    if kind not in _BODY_TYPES:
        raise UnsupportedMediaType(f"A body is sent as {JSON}")


def refuse_unwanted(
    path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]
) -> None:
    """Refuse a request that wants a format or FHIR version not given at a path; raises NotAcceptable.

    Below _async/ there are also the files of exports, which are NDJSON.
    """
    names = _JSON_NAMES | _NDJSON_NAMES if path.startswith(_FILES) else _JSON_NAMES
    wanted = next((value for name, value in query if name == "_format"), None)
    if wanted is None:
        wanted = headers.get("accept", "")
    if wanted and not any(_given(part, names) for part in wanted.split(",")):
        raise NotAcceptable(f"Answers are given as {JSON}")


def _given(text: str, names: frozenset[str]) -> bool:
    kind, *parameters = (part.strip() for part in text.split(";"))
    if kind.lower().replace(" ", "+") not in names:
        return False
    versions = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("fhirVersion=")]
    return all(version in _R4 for version in versions)


def pretty(query: Sequence[tuple[str, str]]) -> bool:
    """Tell whether the answer is to be indented; raises NotSupported for a value that is no boolean."""
    value = next((value for name, value in query if name == "_pretty"), "false")
    if value not in {"true", "false"}:
        raise NotSupported("_pretty takes true or false", issue="value")
    return value == "true"


def indented(body: bytes) -> bytes:
    """Give JSON with line breaks, its numbers as written."""
    return msgspec.json.format(body, indent=2)
