"""A transaction: every entry resolved, then one commit, then the reads (FHIR R4 http.html#trules)."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from msgspec import structs

from fhir_server.context import Context, Handler
from fhir_server.interactions import (
    answer,
    conditional,
    linking,
    patch,
    reach,
    referential,
    transaction_reads,
    writing,
)
from fhir_server.interactions.delete import nothing, removed
from fhir_server.interactions.entry import Answered, rendered, request_of, told_at, whole_request
from fhir_server.interactions.identities import (
    Conditions,
    Step,
    body_of,
    changes_of,
    deleted,
    identify,
    keys_of,
    known,
    place,
    refuse_overlap,
)
from fhir_server.interactions.preconditions import lost
from fhir_server.interactions.racing import Overtaken, won
from fhir_server.interactions.update import refuse_part, same
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import (
    Key,
    MatchConflict,
    Method,
    Version,
    VersionConflict,
)
from resources import model
from resources.model import Resource
from resources.outcome import FhirError, Invalid, PreconditionFailed

_BREATH = 20
_AT_ONCE = 100
"""So many entries' resources are read at once."""
_METHODS: Mapping[str, Method] = {"POST": "POST", "PUT": "PUT"}
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}

Written = Mapping[int, Sequence[Version]]
"""The versions that the commit made, by entry; none for an entry that wrote nothing."""


class Done(NamedTuple):
    """What a transaction answers to each entry, and (method, reference) of each that wrote, for the trail."""

    answers: list[Answered]
    changed: tuple[tuple[str, str], ...]


async def run(
    context: Context, entries: list[dict[str, Any]], wishes: dict[str, str], dispatch: Handler
) -> Done:
    """Run all entries or none; raises what the first failing entry raises, naming it.

    Entries that race another writer of the same conditional identity are resolved again. `wishes` is the
    header Prefer of the Bundle: representations are given only where they are asked for.
    """
    told = FhirRequest("PUT", "", (), {"prefer": wishes.get("prefer", "") + ", return=minimal"})

    async def attempt() -> tuple[list[Step], Written]:
        steps = [Step(i, request_of(context, e, i, wishes), e) for i, e in enumerate(entries)]
        await _resolve(context, steps)
        await transaction_reads.refuse(context, steps, dispatch)
        return steps, await _commit(context, steps)

    steps, versions = await won(context, attempt)
    answers = [
        rendered(await transaction_reads.answered(context, step, dispatch), step.request.method)
        if transaction_reads.reads(step)
        else rendered(_answer(context, step, versions, told), step.request.method)
        for step in steps
    ]
    writes = (step for step in steps if not transaction_reads.reads(step))
    return Done(answers, tuple([one for step in writes for one in _changed(step, versions)]))


async def _resolve(context: Context, steps: list[Step]) -> None:
    """Find every entry's identity, link the bodies to each other, and prepare the changes."""
    writes = sorted(
        (step for step in steps if step.request.method in _ORDER),
        key=lambda step: _ORDER[step.request.method],
    )
    conditions: Conditions = {}
    for start in range(0, len(writes), _AT_ONCE):
        some = writes[start : start + _AT_ONCE]
        there = await known(context, some)
        for step in some:
            await _told(step, identify(context, step, conditions, there))
    refuse_overlap(writes)
    links, gone = _links(context, writes), deleted(writes)
    for done, step in enumerate(writes, 1):
        if step.request.method != "DELETE" and step.change is None and not step.unchanged:
            await _told(step, _prepare(context, step, links, gone))
        if done % _BREATH == 0:
            await asyncio.sleep(0)  # others are answered between the entries of a big transaction


async def _told(step: Step, work: Any) -> None:
    """Await an entry's work, its failure told with the entry's place."""
    try:
        await work
    except FhirError as error:
        error.issues = told_at(place(step), error.issues)
        raise


def _links(context: Context, steps: list[Step]) -> linking.Links:
    """Give the reference that stands for each entry's full URL."""
    links: dict[str, str] = {}
    firsts: dict[str, str] = {}
    for step in steps:
        full_url = step.entry.get("fullUrl")
        if isinstance(full_url, str) and step.key is not None:
            if full_url in links and links[full_url] != step.key.reference:
                raise Invalid(
                    "Two entries have the same fullUrl", expression=f"{place(step)}.fullUrl"
                )
            if context.below(full_url) != step.key.reference:
                links[full_url] = step.key.reference
                if step.request.method == "POST" and not step.unchanged:
                    firsts[full_url] = _version_sent(step)
    return linking.Links(context.services.definitions, links, firsts=firsts)


def _version_sent(step: Step) -> str:
    """Give the version that an entry's resource has where it comes from, empty where it does not tell."""
    meta = step.entry.get("resource", {}).get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""


async def _prepare(
    context: Context, step: Step, links: linking.Links, gone: frozenset[Key]
) -> None:
    """Link, check and index the entry's body; `gone` is what other entries delete."""
    if step.key is None:
        raise Invalid("The entry has no identity", expression=place(step))
    sent = _resource(context, step)
    writing.of_type(context, sent, step.key.type)
    if step.request.method == "PUT" and sent.get("id", step.key.id) != step.key.id:
        raise Invalid("The body's id is not the URL's", expression=f"{step.key.type}.id")
    full_url = step.entry.get("fullUrl", "")
    resource = await _resolved(context, links.linked(sent, full_url), gone)
    if step.request.method == "PATCH":
        step.change = patch.change(context, step.key, resource)
    else:
        try:
            step.change = writing.change(context, step.key, _METHODS[step.request.method], resource)
        except Invalid:
            await _refuse_but_for_links(
                context, step.key, links.linked_freely(sent, full_url), gone
            )
            step.change = writing.made(context, step.key, _METHODS[step.request.method], resource)
        refuse_part(resource, step.existing)
    reach.refuse_out_of_reach(context, step.change, "u" if step.existing else "c")
    if same(context, step.change, step.existing) and "if-match" not in step.request.headers:
        step.unchanged, step.change = True, None


async def _refuse_but_for_links(
    context: Context, key: Key, sent: Resource, gone: frozenset[Key]
) -> None:
    """Raise what is wrong with a resource but for the format of its links.

    A link of an oid or uuid element becomes a reference, as the specification says, though that is no oid
    and no uuid. `sent` has these links as they came.
    """
    resource = await _resolved(context, sent, gone)
    resource["id"] = key.id
    writing.refuse_faults(context, resource)


def _resource(context: Context, step: Step) -> Resource:
    """Give what an entry writes, before it is linked: its own resource, or what its patch makes."""
    if step.request.method != "PATCH" or step.existing is None:
        return body_of(step)
    apply = patch.read(context, whole_request(context, step.entry, step.index))
    return patch.applied(step.existing, apply)


async def _resolved(context: Context, linked: Resource, gone: frozenset[Key]) -> Resource:
    """Give a resource of our own, its conditional references resolved; what was sent stays as it is."""
    if b"?" not in model.serialise(
        linked
    ):  # as nearly all: far quicker than a look at each element
        return dict(linked)
    resource: Resource = model.copy(linked)
    for element, query in linking.conditional_references(context.services.definitions, resource):
        element["reference"] = await _found(context, query, gone)
    return resource


async def _found(context: Context, query: str, gone: frozenset[Key]) -> str:
    """Resolve a conditional reference to its one match that stays; raises PreconditionFailed otherwise."""
    type_ = query.partition("?")[0]
    if type_ not in context.services.definitions.resource_types:
        raise Invalid("A conditional reference is a type of R4, a question mark and criteria")
    match = await conditional.one(context, await conditional.plan(context, type_, query))
    if match is None or match.key in gone:
        raise PreconditionFailed("A conditional reference matches nothing", issue="not-found")
    return match.key.reference


async def _commit(context: Context, steps: list[Step]) -> Written:
    """Write every change at once; gives the versions by entry. Raises Overtaken."""
    written = [step for step in steps if step.change is not None]
    changes = [change for step in written for change in changes_of(step)]
    if not changes:
        return {}
    places = {key: place(step) for step in written for key in keys_of(step)}
    await referential.refuse(context, changes, places)
    guards = [guard for step in steps for guard in step.guards]
    try:
        versions = await context.services.store.commit(changes, guards)
    except MatchConflict:
        raise Overtaken from None
    except VersionConflict as conflict:
        raise _lost(steps, conflict) from None
    made = iter(versions)
    return {s.index: tuple(itertools.islice(made, 1 + len(s.more))) for s in written}


def _lost(steps: list[Step], conflict: VersionConflict) -> FhirError | Overtaken:
    """Give what a version that was not there means to the entry that asked for it, told with its place."""
    step = next((step for step in steps if conflict.key in keys_of(step)), None)
    if step is None:
        return Overtaken()
    fault = lost(step.request, conflict)
    if isinstance(fault, FhirError):
        fault.issues = tuple(structs.replace(i, expression=place(step)) for i in fault.issues)
    return fault


def _answer(context: Context, step: Step, versions: Written, told: FhirRequest) -> FhirResponse:
    """Answer an entry that writes, or found that there is nothing to write."""
    if step.alike is not None:
        return answer.stored(context, told, versions[step.alike.index][0], 200)
    if step.index not in versions:
        kept = step.existing
        return answer.stored(context, told, kept, 200) if kept else nothing(told)
    made = versions[step.index]
    if step.request.method == "DELETE":
        return removed(told, made)
    return answer.stored(context, told, made[0], 200 if step.existing else 201)


def _changed(step: Step, versions: Written) -> Iterable[tuple[str, str]]:
    """Give method and reference of what an entry wrote, or found to be there; else what it asked for."""
    index = step.index if step.alike is None else step.alike.index
    found = (step.existing,) if step.existing else ()
    method = step.request.method
    if made := versions.get(index, found):
        return [(method, version.reference) for version in made]
    if step.key is not None:
        return [(method, step.key.reference)]
    return [(method, f"{step.request.path}?{urlencode(step.request.query)}")]
