"""Interaction capabilities: https://hl7.org/fhir/R4/http.html#capabilities"""

import functools
import hashlib
from collections.abc import Sequence

from fhir_server.context import Context
from fhir_server.interactions import answer, packages
from fhir_server.interactions.packages import Record
from fhir_server.interactions.part import NAMES, one_of
from fhir_server.message import FhirRequest, FhirResponse
from resources.model import Resource, parse, serialise
from resources.outcome import Invalid

_MODES = ("full", "normative", "terminology")
# What R4 marks as trial use in the CapabilityStatement (extension structuredefinition-standards-status).
_TRIAL = frozenset({"document", "imports", "messaging", "useContext"})
_TRIAL_OF_REST = frozenset({"security"})
_TRIAL_OF_RESOURCE = frozenset(
    {
        "conditionalCreate",
        "conditionalDelete",
        "conditionalRead",
        "conditionalUpdate",
        "readHistory",
        "referencePolicy",
        "searchInclude",
        "searchRevInclude",
        "supportedProfile",
        "updateCreate",
        "versioning",
    }
)


async def capabilities(context: Context, request: FhirRequest) -> FhirResponse:
    """Give the CapabilityStatement, its normative part, or the TerminologyCapabilities.

    304 where the caller has it by its ETag. Raises Invalid for a mode that R4 does not have.
    """
    answer.only(context, request, {"mode", *NAMES})
    modes = [value for name, value in request.query if name == "mode"] or ["full"]
    mode = modes[0]
    if mode not in _MODES or len(modes) > 1:
        raise Invalid(f"mode comes once and takes one of {', '.join(_MODES)}", issue="value")
    services = context.services
    if mode == "terminology":
        whole = services.terminology(context.base)
    else:
        whole = _with(services.capabilities(context.base), await packages.listed(context))
    type_ = "TerminologyCapabilities" if mode == "terminology" else "CapabilityStatement"
    asked = one_of(context, request, (type_,))
    if mode == "normative":
        whole = serialise(_normative(parse(whole)))
    return _given(request, asked.of(context, whole))


def _with(whole: bytes, installed: Sequence[Record]) -> bytes:
    """Give the statement with the profiles of installed packages, and the requirements that are met."""
    complete = tuple(record for record in installed if record.complete)
    return _claiming(whole, complete) if complete else whole


@functools.lru_cache(16)
def _claiming(whole: bytes, installed: tuple[Record, ...]) -> bytes:
    statement = parse(whole)
    for record in installed:
        statement.setdefault("instantiates", []).extend(record.instantiates)
        for resource in statement["rest"][0]["resource"]:
            urls = record.supported.get(resource["type"], ())
            held = resource.setdefault("supportedProfile", [])
            held += [url for url in urls if url not in held]
            if not held:
                del resource["supportedProfile"]
    if not statement["instantiates"]:
        del statement["instantiates"]
    return serialise(statement)


def _given(request: FhirRequest, body: bytes) -> FhirResponse:
    etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    known = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    if "*" in known or etag in known or etag.removeprefix("W/") in known:
        return FhirResponse(304, b"", {"ETag": etag})
    return FhirResponse(200, body, {"ETag": etag})


def _normative(statement: Resource) -> Resource:
    """Leave out what R4 marks as trial use."""
    rests = [
        {
            **_without(rest, _TRIAL_OF_REST),
            "resource": [_without(resource, _TRIAL_OF_RESOURCE) for resource in rest["resource"]],
        }
        for rest in statement["rest"]
    ]
    return {**_without(statement, _TRIAL), "rest": rests}


def _without(element: Resource, names: frozenset[str]) -> Resource:
    return {name: value for name, value in element.items() if name not in names}
