"""What stands in files: resources (NDJSON, .gz too, Bundles, single ones), HL7 v2 messages, one by one."""

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from msgspec import Struct

from fhir_server.hl7v2 import message as v2
from resources.model import Resource, received
from resources.outcome import Invalid

_ENDINGS = (".json", ".ndjson", ".json.gz", ".ndjson.gz")
_SHOWN = 5
V2_ENDINGS = (".hl7", ".hl7.gz", ".er7")
UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a file may raise; the latter two where a .gz is cut short or damaged."""


class Found(Struct, frozen=True):
    """One resource with where it stood: file, and its line or entry from 1; or what was wrong there."""

    path: str
    place: int
    resource: Resource | None
    problem: str = ""


class Text(Struct, frozen=True):
    """The JSON of one resource, not yet read, with where it stood: file, and its line from 1."""

    path: str
    place: int
    raw: bytes
    problem: str = ""


class FoundMessage(Struct, frozen=True):
    """One HL7 v2 message with where it stood: file, and its place from 1; or what was wrong there."""

    path: str
    place: int
    message: bytes
    problem: str = ""


def files(paths: Iterable[Path], endings: tuple[str, ...] = _ENDINGS) -> list[Path]:
    """Give the files that are named, and those below the folders, in order; hidden ones are none.

    What ends otherwise is passed over, which is told on standard error. Raises FileNotFoundError, also where
    there is nothing else.
    """
    found: list[Path] = []
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("[!.]*") if p.is_file())
            found += [p for p in below if p.name.endswith(endings)]
            others += [p for p in below if not p.name.endswith(endings)]
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    if others:
        told = f"{_named(others)} passed over: no name ends in {' '.join(endings)}"
        if not found:
            raise FileNotFoundError(told)
        print(f"hounsfield: {told}", file=sys.stderr)  # noqa: T201 - a command's word on what it reads
    return found


def _named(paths: list[Path]) -> str:
    """Give how many files there are, and the first of them by name."""
    names = ", ".join(str(path) for path in paths[:_SHOWN])
    more = ", …" if len(paths) > _SHOWN else ""
    return f"{len(paths)} file{'s'[: len(paths) > 1]} ({names}{more})"


def resources(path: Path) -> Iterator[Found]:
    """Give the resources of one file; what cannot be read is given as a problem, not raised."""
    return map(parsed, texts(path))


def texts(path: Path) -> Iterator[Text]:
    """Give the resources of one file as they are written there; a file that cannot be read as a problem."""
    try:
        with _opened(path) as stream:
            if ".ndjson" not in path.name:
                yield Text(str(path), 1, stream.read())
                return
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield Text(str(path), number, line)
    except UNREADABLE as fault:
        yield Text(str(path), 0, b"", f"cannot be read: {type(fault).__name__}")


def parsed(text: Text) -> Found:
    """Give the resource of a text, or what is wrong with it."""
    if text.problem:
        return Found(text.path, text.place, None, text.problem)
    try:
        return Found(text.path, text.place, received(text.raw.removeprefix(b"\xef\xbb\xbf")))
    except Invalid as fault:
        return Found(text.path, text.place, None, str(fault))


def messages(path: Path) -> Iterator[FoundMessage]:
    """Give the HL7 v2 messages of one file, framed, in a batch or one after another."""
    try:
        with _opened(path) as stream:
            found = v2.split(stream.read())
    except UNREADABLE as fault:
        yield FoundMessage(str(path), 0, b"", f"cannot be read: {type(fault).__name__}")
        return
    if not found:
        yield FoundMessage(str(path), 0, b"", "holds no HL7 v2 message: none begins with MSH")
    for place, message in enumerate(found, 1):
        yield FoundMessage(str(path), place, message)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]
