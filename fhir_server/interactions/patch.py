"""Interaction patch, conditional patch included: https://hl7.org/fhir/R4/http.html#patch

A patch is read, applied and written back on the version that it was applied to. Without If-Match it is
applied again to what another writer made meanwhile.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential, writing
from fhir_server.interactions.preconditions import absent, expected, lost, refuse_modified, stale
from fhir_server.interactions.racing import Overtaken, won
from fhir_server.interactions.update import same
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    NoMatch,
    Precondition,
    Version,
    VersionConflict,
    VersionIs,
)
from resources import fhirpath_patch, model
from resources import patch as json_patch
from resources.definitions import Definitions
from resources.fhirpath.evaluate import Evaluator
from resources.model import Resource
from resources.outcome import Gone, Invalid, NotFound, Unprocessable, UnsupportedMediaType

JSON_PATCH: Final = "application/json-patch+json"
_FHIR: Final = frozenset({"", "application/fhir+json", "application/json", "text/json"})

Apply = Callable[[Resource], Any]


async def patch(context: Context, request: FhirRequest, type_: str, id_: str) -> FhirResponse:
    """Change parts of the current version; If-Match makes it version-aware."""
    writing.known_type(context, type_)
    answer.only(context, request)
    apply = read(context, request)
    key = answer.key(context, type_, id_)
    return await won(context, lambda: _patched(context, request, key, apply, ()))


async def conditional_patch(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Patch the one match; raises NotFound where nothing matches, PreconditionFailed where several do."""
    writing.known_type(context, type_)
    apply = read(context, request)

    async def attempt() -> FhirResponse:
        key, guard = await matching(context, request, type_)
        return await _patched(context, request, key, apply, (guard,))

    return await won(context, attempt)


async def matching(context: Context, request: FhirRequest, type_: str) -> tuple[Key, NoMatch]:
    """Give the one that a conditional patch is for, and the precondition that it stays the only one."""
    context.require(type_, "u")
    context.require(type_, "s")
    context.refuse_to_alter(type_)
    plan = await conditional.plan_of(context, type_, request.query)
    match = await conditional.one(context, plan)
    if match is None:
        raise NotFound("Nothing matches the condition of the patch")
    return match.key, NoMatch(plan, apart_from=match.key)


def read(context: Context, request: FhirRequest) -> Apply:
    """Give what a request's patch does to a resource; raises Invalid, UnsupportedMediaType."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON_PATCH:
        operations = json_patch.parse(request.body)
        return lambda resource: json_patch.apply(resource, operations)
    if kind not in _FHIR or request.body.lstrip()[:1] == b"[":
        raise UnsupportedMediaType(
            f"A patch is a JSON Patch ({JSON_PATCH}) or a FHIRPath Patch, which is a Parameters resource",
            accept_patch=f"{JSON_PATCH}, application/fhir+json, application/fhir+xml",
        )
    parameters = model.received(request.body)
    if parameters["resourceType"] != "Parameters":
        raise Invalid("A FHIRPath Patch is a Parameters resource", expression="resourceType")
    steps = fhirpath_patch.parse(parameters)
    evaluator = _evaluator(context.services.definitions)
    return lambda resource: fhirpath_patch.apply(evaluator, resource, steps)


@functools.cache
def _evaluator(definitions: Definitions) -> Evaluator:
    return Evaluator(definitions)


async def current(context: Context, request: FhirRequest, key: Key) -> Version:
    """Give the version that is to be patched; raises NotFound, Gone, PreconditionFailed."""
    found = await reach.current(context, key, "u")
    if found is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    wanted = expected(request, found)
    if wanted is not None and wanted != found.version_id:
        raise stale(VersionConflict(key, found.version_id if found.body else None))
    if found.body is None:
        raise Gone("The resource is deleted")
    absent(request, key, found)
    refuse_modified(request, found)
    return found


def applied(existing: Version, apply: Apply) -> Resource:
    """Give the patched resource; raises Unprocessable where it would be another one."""
    made = apply(model.parse(existing.body or b""))
    key = existing.key
    resource: Resource = made if isinstance(made, dict) else {}
    if resource.get("resourceType") != key.type:
        raise Unprocessable("A patch leaves resourceType as it is", expression=key.type)
    if resource.get("id") != key.id:
        raise Unprocessable("A patch leaves the id as it is", expression=f"{key.type}.id")
    return resource


def change(context: Context, key: Key, resource: Resource) -> Change:
    """Check and index what a patch made; raises Unprocessable where it is no valid resource."""
    try:
        return writing.change(context, key, "PATCH", resource)
    except Invalid as fault:
        raise Unprocessable("The patched resource is not valid", issues=fault.issues) from None


async def _patched(
    context: Context,
    request: FhirRequest,
    key: Key,
    apply: Apply,
    guards: tuple[Precondition, ...],
) -> FhirResponse:
    """Read, patch and write; raises Overtaken where another writer came first and no If-Match forbids it."""
    existing = await current(context, request, key)
    written = change(context, key, applied(existing, apply))
    reach.refuse_out_of_reach(context, written, "u")
    if same(context, written, existing):
        return answer.stored(context, request, existing, 200)
    await referential.refuse(context, (written,))
    conditions = (*guards, VersionIs(key, existing.version_id))
    try:
        version = (await context.services.store.commit((written,), conditions))[0]
    except MatchConflict:
        raise Overtaken from None
    except VersionConflict as conflict:
        raise lost(request, conflict) from None
    return answer.stored(context, request, version, 200)
