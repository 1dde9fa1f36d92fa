"""Interactions read and vread: https://hl7.org/fhir/R4/http.html#read and #vread"""

import re

from fhir_server.context import Context
from fhir_server.interactions import answer, http_dates, reach
from fhir_server.interactions.part import NAMES, WHOLE, Part, one_of
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Version
from resources.outcome import Gone, NotFound

_SECOND = 1_000
_VERSION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
"""A version id as this server gives them: 007 is another one than 7, and there is none."""


async def read(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Give the current version; 304 where the caller has it, 410 where it is deleted."""
    known_type(context, type_)
    asked = _part(context, request, type_)
    version = await reach.current(context, answer.key(context, type_, id_), "r")
    return _given(context, request, version, asked)


async def vread(
    context: Context, request: FhirRequest, type_: str, id_: str, version_id: str
) -> FhirResponse:
    """Give one version; limited callers must reach the current one and that version itself."""
    known_type(context, type_)
    asked = _part(context, request, type_)
    key = answer.key(context, type_, id_)
    context.require(type_, "r")
    number = int(version_id) if _VERSION.fullmatch(version_id) else 0
    version = await context.services.store.vread(key, number) if 0 < number < 2**31 else None
    if version is not None and not await reach.visible(context, version, "r"):
        version = None
    return _given(context, request, version, asked)


def _part(context: Context, request: FhirRequest, type_: str) -> Part:
    if not request.query:
        return WHOLE
    answer.only(context, request, NAMES)
    return one_of(context, request, (type_,))


def _given(
    context: Context, request: FhirRequest, version: Version | None, asked: Part
) -> FhirResponse:
    if version is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    if version.body is None:
        raise Gone("The resource was deleted")
    headers = answer.validators(version)
    if _unchanged(request, version):
        return FhirResponse(304, b"", headers)
    return FhirResponse(200, asked.of(context, version.body), headers, seen=(version,))


def _unchanged(request: FhirRequest, version: Version) -> bool:
    """Tell whether If-None-Match names the version, or without it If-Modified-Since is not before it."""
    etags = request.headers.get("if-none-match")
    if etags is not None:
        return etags.strip() == "*" or f'"{version.version_id}"' in (
            tag.strip().removeprefix("W/") for tag in etags.split(",")
        )
    since = request.headers.get("if-modified-since")
    moment = None if since is None else http_dates.moment(since)
    return moment is not None and version.updated // _SECOND <= moment
