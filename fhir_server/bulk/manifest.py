"""The manifest of a bulk export: which files there are, and under which names they are kept.

Bulk Data Access 2.0, Response - Complete Status.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

_TYPE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)
_LISTS = (("output", ""), ("deleted", "deleted"), ("error", "error"))


class UnknownManifest(Exception):
    """What came is no manifest."""


class Listed(Struct, frozen=True):
    """One file of a manifest: the resources' type, URL, number of lines if told, the name it gets."""

    type: str
    url: str
    count: int | None
    name: str


class Manifest(Struct, frozen=True):
    """The files of an export, and the instant that their content is of."""

    time: str
    needs_token: bool
    files: tuple[Listed, ...]


class _Entry(Struct):
    type: str
    url: str
    count: int | None = None


def read(data: bytes) -> Manifest:
    """Read a manifest; raises UnknownManifest."""
    try:
        plain = msgspec.json.decode(data, type=dict[str, Any])
        files = tuple(_files(plain))
    except (msgspec.DecodeError, ValueError) as fault:
        raise UnknownManifest(f"The manifest of the export is not understood: {fault}") from None
    return Manifest(
        str(plain.get("transactionTime", "")), bool(plain.get("requiresAccessToken")), files
    )


def _files(plain: dict[str, Any]) -> Iterator[Listed]:
    """Give the files; a name comes of the type and a number, never of what the server calls it."""
    used: Counter[str] = Counter()
    for part, kept in _LISTS:
        for entry in msgspec.convert(plain.get(part) or [], list[_Entry]):
            if not _TYPE.fullmatch(entry.type):
                raise ValueError("a type is not the name of a resource type")
            stem = kept or entry.type
            used[stem] += 1
            number = "" if used[stem] == 1 else f".{used[stem]}"
            yield Listed(entry.type, entry.url, entry.count, f"{stem}{number}.ndjson")
