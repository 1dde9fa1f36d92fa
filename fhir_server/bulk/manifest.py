"""The manifest of a bulk export: which files there are, and under which names they are kept.

Bulk Data Access 2.0, Response - Complete Status.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Struct

_TYPE = re.compile(r"[A-Za-z]{1,64}", re.ASCII)
_LISTS = (("output", ""), ("deleted", "deleted"), ("error", "error"))


class UnknownManifest(Exception):
    """What came is no manifest."""


class Listed(Struct, frozen=True):
    """One file of a manifest: the resources' type, URL, number of lines if told, the name it gets.

    `protected` tells that the server wants the access token for it.
    """

    type: str
    url: str
    count: int | None
    name: str
    protected: bool


class Manifest(Struct, frozen=True):
    """The files of an export, and the instant that their content is of."""

    time: str
    files: tuple[Listed, ...]


class _Entry(Struct):
    type: str
    url: str
    count: int | None = None


def read(data: bytes, place: str) -> Manifest:
    """Read the manifest that came from a place, to which URLs may be relative; raises UnknownManifest."""
    try:
        plain = msgspec.json.decode(data, type=dict[str, Any])
        files = tuple(_files(plain, place))
    except (msgspec.DecodeError, ValueError) as fault:
        raise UnknownManifest(f"The manifest of the export is not understood: {fault}") from None
    return Manifest(str(plain.get("transactionTime", "")), files)


def _files(plain: dict[str, Any], place: str) -> Iterator[Listed]:
    """Give the files; a name comes of the type and a number, never of what the server calls it."""
    used: Counter[str] = Counter()
    protected = bool(plain.get("requiresAccessToken"))
    for part, kept in _LISTS:
        for entry in msgspec.convert(plain.get(part) or [], list[_Entry]):
            url = urljoin(place, entry.url)
            if not _TYPE.fullmatch(entry.type) or urlsplit(url).scheme not in {"http", "https"}:
                raise ValueError("an entry has no resource type, or no URL of HTTP")
            stem = kept or entry.type
            used[stem] += 1
            number = "" if used[stem] == 1 else f".{used[stem]}"
            name = f"{stem}{number}.ndjson"
            yield Listed(entry.type, url, entry.count, name, protected)
