"""Interactions batch and transaction: https://hl7.org/fhir/R4/http.html#transaction"""

from typing import Any

from fhir_server.context import Context, Handler
from fhir_server.interactions import answer, transaction
from fhir_server.interactions.entry import Answered, refuse_unknown, rendered, whole_request
from fhir_server.message import FhirRequest, FhirResponse
from resources import bundle, model
from resources.model import Resource
from resources.outcome import FhirError, Invalid, TooCostly


async def batch(context: Context, request: FhirRequest, dispatch: Handler) -> FhirResponse:
    """Run a Bundle posted to the base: a batch entry by entry, a transaction all or nothing."""
    answer.only(context, request)
    resource = model.received(request.body)
    if resource["resourceType"] != "Bundle":
        raise Invalid("The base takes a Bundle of type batch or transaction")
    refuse_unknown(context, "Bundle", resource, "Bundle")
    entries = _entries(context, resource)
    kind, wishes = resource.get("type"), answer.wishes(request)
    if kind == "transaction":
        done = await transaction.run(context, entries, wishes, dispatch)
        body = bundle.response("transaction-response", done.answers)
        return FhirResponse(200, body, changed=done.changed)
    if kind == "batch":
        answers = [
            await _each(context, (entry, index, wishes), dispatch)
            for index, entry in enumerate(entries)
        ]
        return FhirResponse(200, bundle.response("batch-response", answers))
    raise Invalid("The Bundle's type is neither batch nor transaction", expression="Bundle.type")


def _entries(context: Context, resource: Resource) -> list[dict[str, Any]]:
    entries = resource.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid("Bundle.entry is a list of objects", expression="Bundle.entry")
    if len(entries) > context.services.policy.max_entries:
        raise TooCostly(f"A Bundle may have {context.services.policy.max_entries} entries")
    return entries


async def _each(
    context: Context, entry: tuple[dict[str, Any], int, dict[str, str]], dispatch: Handler
) -> Answered:
    """Run one entry of a batch, given with its index and Prefer; its failure is its own."""
    try:
        request = whole_request(context, *entry)
        response = await dispatch(context, request)
    except FhirError as error:
        return rendered(answer.failed(error))
    return rendered(response, request.method)
