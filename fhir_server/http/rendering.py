"""Between the JSON of the core and the format on the wire (FHIR R4 http.html#mime-type).

The one place where XML comes in and goes out. Exports' files and manifests are left as they are.
"""

import asyncio
from collections.abc import Callable

import msgspec

from fhir_server.http.negotiation import JSON, PLAIN, Form, searches
from fhir_server.message import FhirRequest, FhirResponse
from resources import model, xml
from resources.outcome import Invalid, NotAcceptable

_ON_LOOP = 65_536
_INDENTED = frozenset({JSON, "application/json"})
_READS = frozenset({"GET", "HEAD"})
_HARMLESS = {
    # a browser shows XML with XHTML in it as a page; this one runs and loads nothing
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


async def read_xml(body: bytes) -> bytes:
    """Give the JSON of an XML body; raises Invalid. A large one is read off the event loop."""
    return await _apart(lambda given: model.serialise(xml.from_xml(given)), body)


async def answered(request: FhirRequest, response: FhirResponse, form: Form) -> FhirResponse:
    """Give an answer in the form asked for; raises NotAcceptable, but never where something may be done."""
    if form is PLAIN:
        return response
    if request.method in _READS or searches(request.path):
        return await rendered(response, form)
    return await told(response, form)


async def rendered(response: FhirResponse, form: Form) -> FhirResponse:
    """Give an answer in the form asked for; raises NotAcceptable where XML has no place for it."""
    if form is PLAIN or not response.body:
        return response
    if response.media_type != JSON:
        return _indented(response, response.media_type) if form.pretty else response
    if form.xml:
        body = await _apart(lambda given: _as_xml(given, pretty=form.pretty), response.body)
        headers = {**response.headers, **_HARMLESS}
        return FhirResponse(response.status, body, headers, form.media_type)
    if form.pretty:
        return _indented(response, form.media_type)
    return FhirResponse(response.status, response.body, response.headers, form.media_type)


async def told(response: FhirResponse, form: Form) -> FhirResponse:
    """Give an answer that has to be told, in the form asked for, and in JSON where XML has no place for it.

    Such are errors, and what was done: whoever takes a write for refused does it again.
    """
    try:
        return await rendered(response, form)
    except NotAcceptable:
        return _indented(response, JSON) if form.pretty else response


def _as_xml(body: bytes, *, pretty: bool) -> bytes:
    try:
        return xml.to_xml(model.parse(body), pretty=pretty)
    except Invalid as fault:
        place = fault.issues[0].expression
        raise NotAcceptable(
            f"This cannot be given as XML, only as {JSON}", expression=place
        ) from None


def _indented(response: FhirResponse, media_type: str) -> FhirResponse:
    if response.media_type not in _INDENTED:
        return response
    try:
        body = msgspec.json.format(response.body, indent=2)
    except RecursionError:  # nested as deep as can be: it is told as it is
        return response
    return FhirResponse(response.status, body, response.headers, media_type)


async def _apart(work: Callable[[bytes], bytes], body: bytes) -> bytes:
    if len(body) <= _ON_LOOP:
        return work(body)
    return await asyncio.to_thread(work, body)
