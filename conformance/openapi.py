"""OpenAPI 3.1 of the REST API, from the values that the CapabilityStatement comes from (FHIR R4 http.html).

The paths are templates: one for each form of URL, with the resource types as an enumeration.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from conformance.capability_statement import Offered
from resources.definitions import Definitions

Json = dict[str, Any]

FHIR = ("application/fhir+json", "application/fhir+xml")
_PATCHES = ("application/json-patch+json", *FHIR)
_FORM = ("application/x-www-form-urlencoded",)
_RENDERING = ("_format", "_pretty")
_PART = (*_RENDERING, "_summary", "_elements")
_SEARCH = (
    *_PART,
    *("_id", "_lastUpdated", "_sort", "_count", "_total", "_include", "_revinclude", "_has"),
)
_HISTORY = (*_RENDERING, "_count", "_since", "_at")
_WRITE_HEADERS = ("If-Match", "If-None-Match")
_READ_HEADERS = ("If-None-Match", "If-Modified-Since")
_DESCRIPTION = (
    "Each resource type has the same interactions. Which search parameters a type has is told by the "
    "CapabilityStatement at /metadata; they are query parameters beside those named here."
)


class Form(Struct, frozen=True):
    """One form of URL with a method: its interaction, a summary, what may come with it, its answers."""

    path: str
    method: str
    interaction: str
    summary: str
    query: tuple[str, ...] = _RENDERING
    headers: tuple[str, ...] = ("Prefer",)
    body: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)


_READ, _WRITE = (200, 304), (200, 201, 204)
_TYPE, _ID = "/{type}", "/{type}/{id}"
_FORMS = (
    Form("/metadata", "get", "", "What this server can do", ("mode", *_PART)),
    Form("/", "get", "search-system", "Search over several types", ("_type", *_SEARCH)),
    Form("/_search", "post", "search-system", "The same by POST", (), body=_FORM),
    Form("/", "post", "batch", "A batch or transaction Bundle", body=FHIR),
    Form("/_history", "get", "history-system", "History of all", _HISTORY),
    Form(_TYPE, "get", "search-type", "Search a type", _SEARCH),
    Form(f"{_TYPE}/_search", "post", "search-type", "The same by POST", (), body=_FORM),
    Form(
        _TYPE,
        *("post", "create", "Create under an id of the server's"),
        headers=("Prefer", "If-None-Exist"),
        body=FHIR,
        statuses=(200, 201),
    ),
    Form(_TYPE, "put", "update", "Update what one condition matches", body=FHIR, statuses=_WRITE),
    Form(_TYPE, "patch", "patch", "Patch what one condition matches", body=_PATCHES),
    Form(_TYPE, "delete", "delete", "Delete what a condition matches", statuses=(200, 204)),
    Form(f"{_TYPE}/_history", "get", "history-type", "History of a type", _HISTORY),
    Form(_ID, "get", "read", "Read the current version", _PART, _READ_HEADERS, statuses=_READ),
    Form(
        _ID,
        *("put", "update", "Update, or create under this id"),
        headers=("Prefer", *_WRITE_HEADERS),
        body=FHIR,
        statuses=_WRITE,
    ),
    Form(
        _ID,
        *("patch", "patch", "Change parts of it"),
        headers=("Prefer", *_WRITE_HEADERS),
        body=_PATCHES,
    ),
    Form(_ID, "delete", "delete", "Delete", headers=_WRITE_HEADERS, statuses=(204,)),
    Form(f"{_ID}/_history", "get", "history-instance", "History of one", _HISTORY),
    Form(f"{_ID}/_history/{{version}}", "get", "vread", "Read one version", _PART, _READ_HEADERS),
    Form("/{compartment}/{id}/{type}", "get", "search-type", "Search a compartment", _SEARCH),
    Form("/_async/{job}", "get", "", "Status or answer of what is answered later", (), ()),
    Form("/_async/{job}", "delete", "", "Cancel it, or remove its answer", (), (), statuses=(202,)),
)


def openapi(
    definitions: Definitions, offered: Offered, *, base: str, version: str, title: str
) -> Json:
    """Give the OpenAPI document of the REST API at `base`, with what is offered and nothing else."""
    paths: dict[str, Json] = {}
    for form in (*_offered_forms(offered), *_operation_forms(offered)):
        paths.setdefault(form.path, {})[form.method] = _operation(form)
    for path, item in paths.items():
        parameters = [_path_parameter(name) for name in _names(path)]
        if parameters:
            item["parameters"] = parameters
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _DESCRIPTION},
        "servers": [{"url": base}],
        "paths": paths,
        "components": _components(definitions, offered),
        **({"security": [{"smart": []}]} if offered.smart is not None else {}),
    }


def _offered_forms(offered: Offered) -> Iterator[Form]:
    known = {"", *offered.type_interactions, *offered.system_interactions}
    return (form for form in _FORMS if form.interaction in known)


def _operation_forms(offered: Offered) -> Iterator[Form]:
    """Give the forms of each operation by level; where GET is allowed is the operation's own business."""
    for code, canonical, types, levels in offered.operations:
        places = {"system": [""], "type": types or ["{type}"], "instance": types or ["{type}"]}
        for level in sorted(levels):
            for place in sorted(places[level]):
                below = f"/{place}/{{id}}" if level == "instance" else f"/{place}".rstrip("/")
                text = f"Operation {code}: {canonical}"
                yield Form(f"{below}/${code}", "post", "operation", text, body=FHIR)


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _path_parameter(name: str) -> Json:
    schema = name if name in {"type", "compartment", "id"} else "text"
    ref = {"$ref": f"#/components/schemas/{schema}"}
    return {"name": name, "in": "path", "required": True, "schema": ref}


def _operation(form: Form) -> Json:
    answers: Json = {str(status): {"description": _ANSWERS[status]} for status in form.statuses}
    answers["default"] = {
        "description": "Refused, with an OperationOutcome that says why",
        "content": _content(FHIR),
    }
    made: Json = {
        "summary": form.summary,
        "tags": [form.interaction or "system"],
        "parameters": [*_queries(form.query), *_headers(form.headers)],
        "responses": answers,
    }
    if form.body:
        made["requestBody"] = {"required": True, "content": _content(form.body)}
    return made


_ANSWERS = {
    200: "Done; the body is a resource or a Bundle",
    201: "Created; Location names the version",
    202: "Accepted",
    204: "Done; there is no body",
    304: "Not changed since",
}


def _content(types: Iterable[str]) -> Json:
    return {kind: {"schema": {}} for kind in types}


def _queries(names: Iterable[str]) -> list[Json]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _headers(names: Iterable[str]) -> list[Json]:
    return [{"name": name, "in": "header", "schema": {"type": "string"}} for name in names]


def _components(definitions: Definitions, offered: Offered) -> Json:
    made: Json = {
        "schemas": {
            "type": {"type": "string", "enum": sorted(definitions.resource_types)},
            "compartment": {"type": "string", "enum": sorted(definitions.compartments)},
            "id": {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"},
            "text": {"type": "string", "minLength": 1},
        }
    }
    if offered.smart is not None:
        made["securitySchemes"] = {"smart": {"type": "http", "scheme": "bearer"}}
    return made
