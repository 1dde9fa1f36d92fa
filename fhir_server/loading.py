"""Bulk load: groups of resources as transactions, the refused told one by one, resumable."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.files import Found, resources
from resources.model import Resource

GROUP = 200
_REQUESTS = frozenset({"transaction", "batch"})

Send = Callable[[Resource], Awaitable[tuple[int, Resource]]]
"""Posts a Bundle to the FHIR base and gives status and answer."""


class Refused(msgspec.Struct, frozen=True):
    """One resource that was not stored, and why."""

    path: str
    place: int
    reason: str


class Loaded(msgspec.Struct):
    """What happened so far."""

    stored: int = 0
    skipped: int = 0
    refused: list[Refused] = []


class Progress:
    """Where an earlier load of the same files stopped, in a file of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._done: dict[str, int] = msgspec.json.decode(file.read_bytes()) if file.exists() else {}

    def done(self, path: Path) -> int:
        """Give how many places of a file are behind; 0 where the file has changed since."""
        return self._done.get(_mark(path), 0)

    def advance(self, path: Path, place: int) -> None:
        """Keep that all places up to this one are behind."""
        self._done[_mark(path)] = place
        part = self._file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(self._done))
        part.replace(self._file)


def _mark(path: Path) -> str:
    state = path.stat()
    text = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


async def load(paths: Iterable[Path], send: Send, progress: Progress) -> AsyncIterator[Loaded]:
    """Load the files, giving the running totals after each group."""
    totals = Loaded()
    for path in paths:
        behind = progress.done(path)
        for group in _groups(resources(path)):
            if group[-1].place <= behind:
                totals.skipped += len(group)
                continue
            await _store(group, send, totals)
            progress.advance(path, group[-1].place)
            yield totals
    yield totals


def _groups(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Group single resources; a Bundle of requests stands alone, as one transaction of its own."""
    group: list[Found] = []
    for one in found:
        whole = one.resource is not None and one.resource.get("type") in _REQUESTS
        if whole and one.resource is not None and one.resource["resourceType"] == "Bundle":
            if group:
                yield group
                group = []
            yield [one]
            continue
        group.append(one)
        if len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


async def _store(group: list[Found], send: Send, totals: Loaded) -> None:
    totals.refused.extend(Refused(f.path, f.place, f.problem) for f in group if f.resource is None)
    sound = [(f, f.resource) for f in group if f.resource is not None]
    if not sound:
        return
    first, only = sound[0]
    if len(sound) == 1 and only["resourceType"] == "Bundle" and only.get("type") in _REQUESTS:
        await _bundle(first, only, send, totals)
        return
    entries = [(found, entry) for found, resource in sound for entry in _entries(resource)]
    if not await _together(entries, send, totals):
        await _apart(entries, send, totals)


async def _together(
    entries: list[tuple[Found, dict[str, Any]]], send: Send, totals: Loaded
) -> bool:
    status, _ = await send(_of("transaction", entries))
    if status == 200:
        totals.stored += len(entries)
    return status == 200


async def _apart(entries: list[tuple[Found, dict[str, Any]]], send: Send, totals: Loaded) -> None:
    """Send a group again entry by entry, to keep what is sound and tell what is not."""
    status, answer = await send(_of("batch", entries))
    if status != 200:
        totals.refused.extend(Refused(f.path, f.place, reason(answer)) for f, _ in entries)
        return
    for (found, _), answered in zip(entries, answer["entry"], strict=True):
        response = answered["response"]
        if response["status"].startswith("2"):
            totals.stored += 1
        else:
            why = reason(response.get("outcome", {}))
            totals.refused.append(Refused(found.path, found.place, why))


async def _bundle(found: Found, bundle: Resource, send: Send, totals: Loaded) -> None:
    status, answer = await send(bundle)
    if status != 200:
        totals.refused.append(Refused(found.path, found.place, reason(answer)))
        return
    for answered in answer.get("entry", []):
        if answered["response"]["status"].startswith("2"):
            totals.stored += 1
        else:
            why = reason(answered["response"].get("outcome", {}))
            totals.refused.append(Refused(found.path, found.place, why))


def _entries(resource: Resource) -> list[dict[str, Any]]:
    """Give the requests that store a resource, or each resource of a collection."""
    if resource["resourceType"] == "Bundle" and resource.get("type") == "collection":
        inside = [e["resource"] for e in resource.get("entry", []) if "resource" in e]
        return [entry for one in inside for entry in _entries(one)]
    type_, id_ = resource["resourceType"], resource.get("id")
    request = (
        {"method": "PUT", "url": f"{type_}/{id_}"} if id_ else {"method": "POST", "url": type_}
    )
    return [{"resource": resource, "request": request}]


def _of(kind: str, entries: list[tuple[Found, dict[str, Any]]]) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [entry for _, entry in entries]}


def reason(outcome: Resource) -> str:
    """Give the first issue of an OperationOutcome as a sentence with its place."""
    for issue in outcome.get("issue", []):
        where = issue.get("expression", [""])[0]
        text = issue.get("diagnostics", issue.get("code", "refused"))
        return f"{text} ({where})" if where else str(text)
    return "refused"
