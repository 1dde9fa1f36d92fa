"""A transaction: every entry resolved, then one commit, then the reads (FHIR R4 http.html#trules)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.context import Context, Handler
from fhir_server.interactions import (
    answer,
    conditional,
    linking,
    patch,
    reach,
    referential,
    writing,
)
from fhir_server.interactions.delete import deletion, matching, removed, unchanged
from fhir_server.interactions.entry import Answered, rendered, request_of, whole_request
from fhir_server.interactions.update import chosen, expected, may_write, same, stale
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    Method,
    NoMatch,
    Precondition,
    Version,
    VersionConflict,
    VersionIs,
)
from resources import model
from resources.model import Resource
from resources.outcome import Conflict, FhirError, Invalid, Issue, NotFound, PreconditionFailed

_ROUNDS = 20
_BREATH = 20
_METHODS: Mapping[str, Method] = {"POST": "POST", "PUT": "PUT", "PATCH": "PATCH"}
_READS = frozenset({"GET", "HEAD"})
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}


@dataclass(slots=True)
class _Step:
    """One entry on its way: its request, where it writes, what it writes, and what guards it.

    `more` is what a conditional delete removes beside the first match.
    """

    index: int
    request: FhirRequest
    entry: dict[str, Any]
    key: Key | None = None
    existing: Version | None = None
    change: Change | None = None
    unchanged: bool = False
    more: list[Change] = field(default_factory=list)
    guards: list[Precondition] = field(default_factory=list)


async def run(
    context: Context, entries: list[dict[str, Any]], preferences: dict[str, str], dispatch: Handler
) -> list[Answered]:
    """Run all entries or none; raises what the first failing entry raises, naming it.

    Entries that race another writer of the same conditional identity are resolved again.
    """
    for _ in range(_ROUNDS):
        steps = [_Step(i, request_of(context, e, i), e) for i, e in enumerate(entries)]
        await _resolve(context, steps)
        try:
            versions = await _commit(context, steps)
        except MatchConflict:
            continue
        return [
            rendered(await _read(context, step, dispatch))
            if step.request.method in _READS
            else _answer(context, step, versions, preferences)
            for step in steps
        ]
    raise Conflict("The transaction kept racing others for the same identities; send it again")


def _place(step: _Step) -> str:
    return f"Bundle.entry[{step.index}]"


async def _resolve(context: Context, steps: list[_Step]) -> None:
    """Find every entry's identity, link the bodies to each other, and prepare the changes."""
    writes = sorted(
        (step for step in steps if step.request.method in _ORDER),
        key=lambda step: _ORDER[step.request.method],
    )
    for step in writes:
        await _told(step, _identify(context, step))
    _refuse_overlap(writes)
    links = _links(context, writes)
    for done, step in enumerate(writes, 1):
        if step.request.method != "DELETE" and step.change is None and not step.unchanged:
            await _told(step, _prepare(context, step, links))
        if done % _BREATH == 0:
            await asyncio.sleep(0)  # others are answered between the entries of a big transaction


async def _told(step: _Step, work: Any) -> None:
    """Await an entry's work, its failure told with the entry's place."""
    try:
        await work
    except FhirError as error:
        named = [
            Issue(i.severity, i.code, i.diagnostics, _joined(step, i.expression))
            for i in error.issues
        ]
        error.issues = tuple(named)
        raise


def _joined(step: _Step, expression: str | None) -> str:
    if expression and expression.startswith("Bundle.entry"):
        return expression
    below = (expression or "").partition(".")[2]
    return f"{_place(step)}.resource.{below}" if below else _place(step)


async def _identify(context: Context, step: _Step) -> None:
    """Find the key that an entry writes to, by its URL, its condition or a new id."""
    parts = step.request.path.split("/")
    writing.known_type(context, parts[0])
    match step.request.method, parts:
        case "POST", [type_]:
            await _create(context, step, type_)
        case "PUT", [type_, id_]:
            step.key = answer.key(context, type_, id_)
            step.existing = await may_write(context, step.key)
            _guard(step)
        case "PUT", [type_] if step.request.query:
            await _conditional_update(context, step, type_)
        case "PATCH", [type_, id_]:
            await _patch(context, step, answer.key(context, type_, id_))
        case "PATCH", [type_] if step.request.query:
            key, guard = await patch.matching(context, step.request, type_)
            step.guards.append(guard)
            await _patch(context, step, key)
        case "DELETE", [type_, id_]:
            await _delete(context, step, answer.key(context, type_, id_))
        case "DELETE", [type_] if step.request.query:
            await _conditional_delete(context, step, type_)
        case _:
            raise Invalid(
                "The entry's url does not fit its method", expression=f"{_place(step)}.request.url"
            )


async def _create(context: Context, step: _Step, type_: str) -> None:
    context.require(type_, "c")
    condition = step.request.headers.get("if-none-exist")
    if condition is not None:
        plan = await conditional.plan(context, type_, condition)
        step.existing = await conditional.one(context, plan)
        if step.existing is not None:
            step.key, step.unchanged = step.existing.key, True
            return
        step.guards.append(NoMatch(plan))
    step.key = answer.key(context, type_, context.services.new_id())


async def _conditional_update(context: Context, step: _Step, type_: str) -> None:
    context.require(type_, "s")
    plan = await conditional.plan_of(context, type_, step.request.query)
    match = await conditional.one(context, plan)
    body = _body(step)
    step.key = chosen(context, body, type_, match)
    fresh = match is None and "id" not in body
    step.existing = await may_write(context, step.key, fresh=fresh)
    step.guards.append(NoMatch(plan, apart_from=step.key))
    _guard(step)


def _guard(step: _Step) -> None:
    wanted = expected(step.request)
    if wanted is not None and step.key is not None:
        step.guards.append(VersionIs(step.key, wanted))


async def _patch(context: Context, step: _Step, key: Key) -> None:
    step.key, step.existing = key, await patch.current(context, step.request, key)
    step.guards.append(unchanged(step.existing))


async def _delete(context: Context, step: _Step, key: Key) -> None:
    if await reach.current(context, key, "d") is None:
        raise NotFound("There is no such resource, or it is out of this token's reach")
    step.key, step.change = key, deletion(key)
    _guard(step)


async def _conditional_delete(context: Context, step: _Step, type_: str) -> None:
    found = await matching(context, step.request, type_)
    step.unchanged = not found
    for version in found[:1]:
        step.key, step.change = version.key, deletion(version.key)
        _guard(step)
    step.more = [deletion(version.key) for version in found[1:]]
    if step.more:
        step.guards += [unchanged(version) for version in found]


def _body(step: _Step) -> Resource:
    resource = step.entry.get("resource")
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise Invalid("The entry needs a resource", expression=f"{_place(step)}.resource")
    return resource


def _refuse_overlap(steps: list[_Step]) -> None:
    """Refuse two entries that write to one identity, naming both."""
    seen: dict[Key, int] = {}
    for step in steps:
        if step.key is None or (step.unchanged and step.request.method == "POST"):
            continue
        for key in (step.key, *(change.key for change in step.more)):
            if key in seen:
                first, second = sorted((seen[key], step.index))
                raise Invalid(
                    f"Entries {first} and {second} write to the same resource",
                    expression=_place(step),
                )
            seen[key] = step.index


def _links(context: Context, steps: list[_Step]) -> linking.Links:
    """Give the reference that stands for each entry's full URL."""
    links: dict[str, str] = {}
    for step in steps:
        full_url = step.entry.get("fullUrl")
        if isinstance(full_url, str) and step.key is not None:
            if full_url in links and links[full_url] != step.key.reference:
                raise Invalid(
                    "Two entries have the same fullUrl", expression=f"{_place(step)}.fullUrl"
                )
            if full_url != f"{context.base}/{step.key.reference}":
                links[full_url] = step.key.reference
    return linking.Links(context.services.definitions, links)


async def _prepare(context: Context, step: _Step, links: linking.Links) -> None:
    """Link, check and index the entry's body."""
    if step.key is None:
        raise Invalid("The entry has no identity", expression=_place(step))
    resource = _resource(context, step)
    writing.of_type(context, resource, step.key.type)
    if step.request.method == "PUT" and resource.get("id", step.key.id) != step.key.id:
        raise Invalid("The body's id is not the URL's", expression=f"{step.key.type}.id")
    links.rewrite(resource, step.entry.get("fullUrl", ""))
    for element, query in linking.conditional_references(resource):
        element["reference"] = await _found(context, query)
    step.change = writing.change(context, step.key, _METHODS[step.request.method], resource)
    reach.refuse_out_of_reach(context, step.change, "u" if step.existing else "c")
    if same(context, step.change, step.existing) and expected(step.request) is None:
        step.unchanged, step.change = True, None


def _resource(context: Context, step: _Step) -> Resource:
    """Give what an entry writes, before it is linked: its own resource, or what its patch makes."""
    if step.request.method != "PATCH" or step.existing is None:
        resource: Resource = model.copy(_body(step))
        return resource
    apply = patch.read(context, whole_request(context, step.entry, step.index))
    return patch.applied(step.existing, apply)


async def _found(context: Context, query: str) -> str:
    """Resolve a conditional reference to its one match; raises PreconditionFailed otherwise."""
    type_ = query.partition("?")[0]
    writing.known_type(context, type_)
    match = await conditional.one(context, await conditional.plan(context, type_, query))
    if match is None:
        raise PreconditionFailed("A conditional reference matches nothing", issue="not-found")
    return match.key.reference


async def _commit(context: Context, steps: list[_Step]) -> dict[int, Version]:
    """Write every change at once; gives the versions by entry."""
    written = [step for step in steps if step.change is not None]
    changes = [step.change for step in written if step.change is not None]
    if not changes:
        return {}
    changes += [change for step in written for change in step.more]
    await referential.refuse(context, changes)
    guards = [guard for step in steps for guard in step.guards]
    try:
        versions = await context.services.store.commit(changes, guards)
    except VersionConflict as conflict:
        if any(_again(step, conflict.key) for step in written):
            raise MatchConflict(0, (conflict.key,)) from None
        raise stale(conflict) from None
    return {step.index: version for step, version in zip(written, versions, strict=False)}


def _again(step: _Step, key: Key) -> bool:
    """Tell whether an entry that lost a race is resolved again: it found its resource without If-Match."""
    found = bool(step.more) or step.request.method == "PATCH"
    if not found or "if-match" in step.request.headers:
        return False
    return key == step.key or any(change.key == key for change in step.more)


def _answer(
    context: Context, step: _Step, versions: dict[int, Version], preferences: dict[str, str]
) -> Answered:
    if step.index not in versions:
        return rendered(_kept(context, step, preferences))
    version = versions[step.index]
    if step.request.method == "DELETE":
        return rendered(removed(version))
    status = 200 if step.existing else 201
    return rendered(_stored(context, version, status, preferences))


async def _read(context: Context, step: _Step, dispatch: Handler) -> FhirResponse:
    try:
        return await dispatch(context, step.request)
    except FhirError as error:
        return answer.failed(error)


def _kept(context: Context, step: _Step, preferences: dict[str, str]) -> FhirResponse:
    """Answer an entry that wrote nothing: a condition already met, or nothing to delete."""
    if step.existing is None:
        return FhirResponse(204)
    return _stored(context, step.existing, 200, preferences)


def _stored(
    context: Context, version: Version, status: int, preferences: dict[str, str]
) -> FhirResponse:
    """Answer a write; in a transaction the representation comes only where it was asked for."""
    told = FhirRequest("PUT", "", (), {"prefer": f"return={preferences.get('return', 'minimal')}"})
    return answer.stored(context, told, version, status)
