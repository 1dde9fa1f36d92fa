"""Interaction create, conditional create included: https://hl7.org/fhir/R4/http.html#create"""

from fhir_server.context import Context
from fhir_server.interactions import answer, conditional, reach, referential
from fhir_server.interactions.racing import Overtaken, won
from fhir_server.interactions.writing import change, of_type
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import MatchConflict, NoMatch, Version
from resources import model
from resources.model import Resource


async def create(context: Context, request: FhirRequest, type_: str) -> FhirResponse:
    """Store a new resource under an id of ours.

    With If-None-Exist only if nothing matches; the one match is answered with 200.
    """
    context.require(type_, "c")
    answer.only(context, request)
    resource = model.received(request.body)
    of_type(context, resource, type_)
    condition = request.headers.get("if-none-exist")
    if condition is not None:
        return await _conditional(context, request, resource, condition)
    version = await _stored(context, resource, ())
    return answer.stored(context, request, version, 201)


async def _stored(
    context: Context, resource: Resource, preconditions: tuple[NoMatch, ...]
) -> Version:
    key = answer.key(context, resource["resourceType"], context.services.new_id())
    written = change(context, key, "POST", resource)
    reach.refuse_out_of_reach(context, written, "c")
    await referential.refuse(context, (written,))
    return (await context.services.store.commit((written,), preconditions))[0]


async def _conditional(
    context: Context, request: FhirRequest, resource: Resource, condition: str
) -> FhirResponse:
    """Create unless a match exists; a racing creator's resource is found by going round again."""
    type_ = resource["resourceType"]
    plan = await conditional.plan(context, type_, condition)

    async def attempt() -> FhirResponse:
        """Give the match, or what was created where there is none."""
        existing = await conditional.one(context, plan)
        if existing is not None:
            return answer.stored(context, request, existing, 200)
        try:
            version = await _stored(context, resource, (NoMatch(plan),))
        except MatchConflict:
            raise Overtaken from None
        return answer.stored(context, request, version, 201)

    return await won(context, attempt)
