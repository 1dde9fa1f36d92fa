"""Bundles joined from stored bytes, nothing parsed again (FHIR R4 bundle.html)."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from resources.model import serialise


class Entry(Struct, frozen=True):
    """One entry of a searchset: its full URL, the resource's JSON, and why it is there."""

    full_url: str
    body: bytes
    mode: str = "match"


Link = tuple[str, str]


def searchset(entries: Sequence[Entry], links: Sequence[Link], total: int | None) -> bytes:
    """Give a searchset Bundle."""
    found = [
        b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}'
        % (serialise(entry.full_url), entry.body, entry.mode.encode())
        for entry in entries
    ]
    return _bundle(b"searchset", links, total, found)


def history(entries: Iterable[bytes], links: Sequence[Link], total: int | None) -> bytes:
    """Give a history Bundle of entries already rendered."""
    return _bundle(b"history", links, total, entries)


def history_entry(full_url: str, body: bytes | None, request: Any, response: Any) -> bytes:
    """Give one entry of a history Bundle; a deletion has no resource."""
    resource = b"" if body is None else b',"resource":' + body
    return b'{"fullUrl":%b%b,"request":%b,"response":%b}' % (
        serialise(full_url),
        resource,
        serialise(request),
        serialise(response),
    )


def response(kind: str, entries: Iterable[tuple[dict[str, Any], bytes, str]]) -> bytes:
    """Give a response Bundle of (response element, resource JSON or empty, full URL)."""
    return _bundle(kind.encode(), (), None, (_answered(*entry) for entry in entries))


def _answered(answer: dict[str, Any], body: bytes, full_url: str) -> bytes:
    place = b'"fullUrl":%b,' % serialise(full_url) if full_url else b""
    resource = b'"resource":%b,' % body if body else b""
    return b'{%b%b"response":%b}' % (place, resource, serialise(answer))


def _bundle(
    kind: bytes, links: Sequence[Link], total: int | None, entries: Iterable[bytes]
) -> bytes:
    parts = [b'{"resourceType":"Bundle","type":"%b"' % kind]
    if total is not None:
        parts.append(b',"total":%d' % total)
    if links:
        shown = serialise([{"relation": relation, "url": url} for relation, url in links])
        parts.append(b',"link":' + shown)
    joined = b",".join(entries)
    if joined:
        parts.append(b',"entry":[' + joined + b"]")
    return b"".join((*parts, b"}"))
