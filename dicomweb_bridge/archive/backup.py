"""A copy of the embedded archive as it is at one instant, made while it is served and stored to."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import apsw

from dicomweb_bridge.archive import index
from dicomweb_bridge.archive.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INDEX = "index.sqlite"
_PIECE = 1024 * 1024


class Incomplete(Exception):
    """A file that the index knows is missing or damaged; the sentence names it by its SHA-256."""


def copy(root: Path, folder: Path, meanwhile: Callable[[], None]) -> int:
    """Copy index and files into a new folder; gives how many files. Blocks; raises Incomplete.

    `meanwhile` runs at the instant of the copy, while nothing can be stored: what it looks at fits the copy.
    """
    if not (root / INDEX).exists():
        meanwhile()
        return 0
    folder.mkdir()
    pinned = index.connect(root / INDEX, writable=False)
    try:
        _pin(root, pinned, meanwhile)
        _copy_index(pinned, folder)
        names = pinned.execute("SELECT DISTINCT tenant, sha256 FROM instance").fetchall()
        for tenant, sha256 in names:
            _copy_file((Files(root), Files(folder)), str(tenant), str(sha256))
        pinned.execute("COMMIT")
    finally:
        pinned.close()
    return len(names)


def _pin(root: Path, pinned: apsw.Connection, meanwhile: Callable[[], None]) -> None:
    """Hold writers off for as long as it takes to fix the instant that `pinned` reads at."""
    holding = index.connect(root / INDEX, writable=True)
    try:
        holding.execute("BEGIN IMMEDIATE")
        pinned.execute("BEGIN")
        pinned.execute("SELECT count(*) FROM placing").fetchall()
        meanwhile()
        holding.execute("ROLLBACK")
    finally:
        holding.close()


def _copy_index(pinned: apsw.Connection, folder: Path) -> None:
    made = apsw.Connection(str(folder / INDEX))
    try:
        with made.backup("main", pinned, "main") as copying:
            copying.step()
        made.pragma("journal_mode", "delete")
        made.execute("DELETE FROM placing")  # what is being stored beside the copy is not in it
    finally:
        made.close()


def _copy_file(between: tuple[Files, Files], tenant: str, sha256: str) -> None:
    """Copy one file, looking that it is what its name says; durable on return."""
    source, target = (files.path(tenant, sha256) for files in between)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with source.open("rb") as old, target.open("xb") as new:
            while piece := old.read(_PIECE):
                digest.update(piece)
                new.write(piece)
            new.flush()
            os.fsync(new.fileno())
    except FileNotFoundError:
        raise Incomplete(f"the archive has lost the file {sha256}") from None
    if digest.hexdigest() != sha256:
        raise Incomplete(f"the archive's file {sha256} is damaged")
