"""The embedded archive's files: one a distinct content, named by its SHA-256, written whole or not at all.

`<root>/<tenant>/<first two digits>/<sha256>.dcm`; what is being received lies in `<root>/.incoming`. No
name that a sender chose ever becomes part of a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from typing import TYPE_CHECKING, BinaryIO

from fhir_server.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_INCOMING = ".incoming"
_BLOCK = 1024 * 1024


class Arriving:
    """A file that is being received: written and hashed piece by piece, not yet part of the archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._failed = False
        self._hash = hashlib.sha256()
        self._file: BinaryIO = path.open("xb")

    def write(self, data: bytes) -> None:
        """Append; a full disk is told by `finish`, so that the rest of the sender's data can be consumed."""
        self.size += len(data)
        if self._failed:
            return
        try:
            self._file.write(data)
        except OSError:
            self._failed = True
        self._hash.update(data)

    def finish(self) -> str | None:
        """Bring the content to the disk and give its SHA-256, None if the disk did not take it."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError:
            return None
        return None if self._failed else self._hash.hexdigest()

    def discard(self) -> None:
        """Remove the file if it was not placed."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)


class Files:
    """The files below one root folder; everything here blocks."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the folders."""
        (self._root / _INCOMING).mkdir(parents=True, exist_ok=True)

    def arrive(self) -> Arriving:
        """Begin to receive a file."""
        return Arriving(self._root / _INCOMING / uuid.uuid4().hex)

    def path(self, tenant: str, sha256: str) -> Path:
        """Give the place of a content; raises ValueError for what is no tenant name or hash."""
        if not _TENANT.fullmatch(tenant) or not _SHA256.fullmatch(sha256):
            raise ValueError("not a tenant name and a hash")
        return self._root / tenant / sha256[:2] / f"{sha256}.dcm"

    def place(self, arrived: Path, tenant: str, sha256: str) -> None:
        """Move a finished file to its place, durably: when this returns it survives a crash."""
        target = self.path(tenant, sha256)
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
            sync_folder(self._root)
        arrived.replace(target)
        sync_folder(target.parent)

    def remove(self, tenant: str, sha256: str) -> None:
        """Remove a content if it is there."""
        self.path(tenant, sha256).unlink(missing_ok=True)

    def clear_incoming(self) -> None:
        """Remove what a crash left half received; none of it was acknowledged."""
        for leftover in (self._root / _INCOMING).iterdir():
            leftover.unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, str]]:
        """Give (tenant, sha256) of every file."""
        for folder in sorted(self._root.iterdir()):
            if folder.is_dir() and folder.name != _INCOMING:
                for file in sorted(folder.glob("??/*.dcm")):
                    yield folder.name, file.stem

    def digest(self, tenant: str, sha256: str) -> str | None:
        """Read a content and give its SHA-256 as it is now, None if the file is missing."""
        found = hashlib.sha256()
        try:
            with self.path(tenant, sha256).open("rb") as file:
                while block := file.read(_BLOCK):
                    found.update(block)
        except FileNotFoundError:
            return None
        return found.hexdigest()
