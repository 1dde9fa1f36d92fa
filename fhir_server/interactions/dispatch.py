"""(method, path) to interaction or operation: the FHIR URL table (FHIR R4 http.html#summary).

What only chooses is no coroutine: it gives the one that answers, so that a choice costs every request less.
"""

from collections.abc import Awaitable

from fhir_server.context import UNALTERED, Context, Handler, Route
from fhir_server.interactions import (
    answer,
    batch,
    capabilities,
    create,
    delete,
    history,
    patch,
    read,
    search,
    update,
)
from fhir_server.interactions.preconditions import refuse_misplaced
from fhir_server.interactions.query import Place, Within
from fhir_server.message import FhirRequest, FhirResponse
from resources.outcome import FhirError, Invalid, MethodNotAllowed, NotFound, NotSupported

_INSTANCE_HISTORY = 3
_ASYNC = "_async"
_READS = "GET, HEAD"
_STATEMENT = "metadata"
_PLACES = frozenset({"_history", "_search"})
_NARROW = frozenset({_STATEMENT, *UNALTERED})
"""What stands first in places that take fewer methods than others."""
_UNCHANGING = frozenset({"GET", "HEAD"})


async def dispatch(context: Context, request: FhirRequest) -> FhirResponse:
    """Run the interaction or operation that a request names, kept in the audit trail; raises FhirError.

    A write is on the disk, and so is the trail of it, when this returns.
    """
    response = await _entry(context, request)
    audit = context.services.audit
    if audit is not None and request.method not in _UNCHANGING:
        await audit.synced()
    return response


async def _entry(context: Context, request: FhirRequest) -> FhirResponse:
    """Run one and keep it in the trail; for a Bundle's entries that it is on the disk is awaited once."""
    audit = context.services.audit
    if audit is None:
        return await _answered(context, request)
    if request.method not in _UNCHANGING:
        audit.ready()
    try:
        response = await _answered(context, request)
    except FhirError as error:
        audit.interaction(context, request, FhirResponse(error.status))
        raise
    audit.interaction(context, request, response)
    return response


def _answered(  # noqa: PLR0911 - one return a method
    context: Context, request: FhirRequest
) -> Awaitable[FhirResponse]:
    parts = [part for part in request.path.split("/") if part]
    if parts and parts[0] == _ASYNC:
        return _job(context, request, parts)
    if parts and parts[-1].startswith("$"):
        return _operation(context, request, parts)
    if answer.later(request) and (defer := _deferring(context, request, parts)):
        return defer(context, request)
    if parts and (parts[0] in _NARROW or parts[-1] in _PLACES):
        _refuse_method(context, request.method, parts)
    match request.method:
        case "GET" | "HEAD":
            return _get(context, request, parts)
        case "POST":
            return _post(context, request, parts)
        case "PUT":
            return _put(context, request, parts)
        case "PATCH":
            return _patch(context, request, parts)
        case "DELETE":
            return _delete(context, request, parts)
        case _:
            raise _not_offered(parts)


def _allowed(parts: list[str]) -> str:  # noqa: PLR0911 - one return a URL form
    """Give the methods that a place takes, as the header Allow names them; none where nothing has the URL.

    R4 has no search at `Patient/1/_search`: over all types of a compartment it is `Patient/1/*/_search`.
    """
    match parts:
        case []:
            return f"{_READS}, POST"
        case ["_search"] | [_, "_search"] | [_, _, _, "_search"]:
            return "POST"
        case [*_, "_search"] | ["metadata", _, *_] | [_, _, _, "_history"]:
            return ""  # before the forms that these would be taken for
        case ["metadata" | "_history"] | [_, "_history"]:
            return _READS
        case [type_] if type_ in UNALTERED:
            return f"{_READS}, POST"
        case [type_, _] if type_ in UNALTERED:
            return f"{_READS}, PUT"  # which may create
        case [_]:
            return f"{_READS}, POST, PUT, PATCH, DELETE"
        case [_, _]:
            return f"{_READS}, PUT, PATCH, DELETE"
        case [_, _, _] | [_, _, "_history", _]:
            return _READS
        case _:
            return ""


def _refuse_method(context: Context, method: str, parts: list[str]) -> None:
    """Refuse what metadata, _history, _search and what is never altered do not take.

    That is before they are taken for a type or an id. Our own edges may alter what nobody else does.
    """
    if context.keep_unchanged and parts[0] in UNALTERED:
        return
    if method not in _allowed(parts).split(", "):
        raise _not_offered(parts)


def _not_offered(parts: list[str]) -> FhirError:
    """Give the refusal of a method that a place does not take: 404 where it takes none."""
    allow = _allowed(parts)
    if not allow:
        return NotFound("Nothing has this URL")
    place = parts[-1] if parts and parts[-1] in {_STATEMENT, *_PLACES} else "This place"
    if parts and parts[0] in UNALTERED:
        place = f"{parts[0]} resources stay as they are: {place.lower()}"
    return MethodNotAllowed(f"{place} takes {allow}", allow=allow)


def _deferring(context: Context, request: FhirRequest, parts: list[str]) -> Handler | None:
    """Give what answers a request later, None where lenient handling has it answered at once.

    Operations that take long start jobs of their own. https://hl7.org/fhir/R4/async.html
    """
    if parts == ["metadata"]:
        return None
    read = request.method in _UNCHANGING
    searched = request.method == "POST" and (not parts or parts[-1] == "_search")
    if context.services.defer is not None and (read or searched):
        return context.services.defer
    if answer.lenient(context, request):
        return None
    raise NotSupported(
        "Prefer: respond-async is offered for reads, searches, batch and transaction"
    )


def _get(  # noqa: PLR0911 - one return a URL form
    context: Context, request: FhirRequest, parts: list[str]
) -> Awaitable[FhirResponse]:
    if parts and parts[-1] == "_history" and len(parts) <= _INSTANCE_HISTORY:
        return history.history(context, request, *parts[:-1])
    match parts:
        case ["metadata"]:
            return capabilities.capabilities(context, request)
        case [type_]:
            return search.search(context, request, Place(type_))
        case [type_, id_]:
            return read.read(context, request, type_, id_)
        case [type_, id_, "_history", version_id]:
            return read.vread(context, request, type_, id_, version_id)
        case [compartment, id_, type_]:
            return search.search(context, request, _compartment(compartment, id_, type_))
        case []:
            return search.search(context, request, Place())
        case _:
            raise NotFound("Nothing has this URL")


def _compartment(compartment: str, id_: str, type_: str) -> Place:
    return Place(None if type_ == "*" else type_, Within(compartment, id_))


def _post(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    match parts:
        case []:
            refuse_misplaced(request)
            return batch.batch(context, request, _entry)
        case ["_search"]:
            return search.search(context, request, Place())
        case [type_]:
            refuse_misplaced(request)
            return create.create(context, request, type_)
        case [type_, "_search"]:
            return search.search(context, request, Place(type_))
        case [compartment, id_, type_, "_search"]:
            return search.search(context, request, _compartment(compartment, id_, type_))
        case _:
            raise _not_offered(parts)


def _put(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    refuse_misplaced(request)
    match parts:
        case [type_] if request.query:
            return update.conditional_update(context, request, type_)
        case [_]:
            raise Invalid("An update names an id or a condition")
        case [type_, id_]:
            return update.update(context, request, type_, id_)
        case _:
            raise _not_offered(parts)


def _patch(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    refuse_misplaced(request)
    match parts:
        case [type_] if request.query:
            return patch.conditional_patch(context, request, type_)
        case [_]:
            raise Invalid("A patch names an id or a condition")
        case [type_, id_]:
            return patch.patch(context, request, type_, id_)
        case _:
            raise _not_offered(parts)


def _delete(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    refuse_misplaced(request)
    match parts:
        case [type_] if request.query:
            return delete.conditional_delete(context, request, type_)
        case [_]:
            raise Invalid("A delete names an id or a condition")
        case [type_, id_]:
            return delete.delete(context, request, type_, id_)
        case _:
            raise _not_offered(parts)


def _operation(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    route = _route(context, parts)
    allow = "POST" if route.affects_state else f"{_READS}, POST"
    if request.method not in allow.split(", "):
        raise MethodNotAllowed(f"${route.code} takes {allow}", allow=allow)
    return route.answer(context, request)


def _route(context: Context, parts: list[str]) -> Route:
    level = ("system", "type", "instance")[min(len(parts) - 1, 2)]
    code = parts[-1][1:]
    for route in context.services.operations.get(code, ()) if code != _ASYNC else ():
        typed = level == "system" or route.on(parts[0])
        if level in route.levels and typed and len(parts) <= 3:
            return route
    raise NotFound("There is no such operation here", issue="not-supported")


def _job(context: Context, request: FhirRequest, parts: list[str]) -> Awaitable[FhirResponse]:
    """Answer for a job's status or files: https://hl7.org/fhir/R4/async.html"""
    routes = context.services.operations.get(_ASYNC, ())
    if not routes or len(parts) == 1:
        raise NotFound("Nothing has this URL")
    return routes[0].answer(context, request)
