"""Large contents as files beside the store: one a distinct content, written whole or not at all.

`<root>/<tenant>/<first two digits>/<sha256>`; no name that a client chose ever becomes part of a path.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import io
import os
import re
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from fhir_server.durable import sync_folder
from fhir_server.store.port import Brought, ContentGone, NotKept

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LOCK: Final = ".lock"
_PART: Final = ".part"
_PIECE: Final = 1 << 20


class FileBlobs:
    """Satisfies the `Blobs` port below one folder, which several processes may share."""

    counted: Final = False

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Hold off `erasing` meanwhile."""
        async with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.asynccontextmanager
    async def erasing(self) -> AsyncIterator[None]:
        """Be alone meanwhile."""
        async with self._locked(fcntl.LOCK_EX):
            yield

    async def put(self, tenant: str, data: bytes) -> str:
        """Keep a content, durable on return, and give its SHA-256."""
        sha256 = await asyncio.to_thread(_sha256, data)
        await self.keep(tenant, Brought(io.BytesIO(data), len(data), sha256))
        return sha256

    async def keep(self, tenant: str, brought: Brought) -> None:
        """Keep a content that waits in a file, durable on return; raises NotKept."""
        with _told():
            await asyncio.to_thread(self._keep, tenant, brought)

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        """Give a content, or None where it is missing."""
        return await asyncio.to_thread(self._get, tenant, sha256)

    async def size(self, tenant: str, sha256: str) -> int | None:
        """Give a content's size in bytes, or None where it is missing."""
        try:
            found = await asyncio.to_thread(self._path(tenant, sha256).stat)
        except FileNotFoundError:
            return None
        return found.st_size

    async def pieces(
        self, tenant: str, sha256: str, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Give the bytes from `start` up to `stop` of a content, piece by piece; raises ContentGone."""
        try:
            file = await asyncio.to_thread(self._path(tenant, sha256).open, "rb")
        except FileNotFoundError:
            raise ContentGone from None
        with file:
            file.seek(start)
            left = sys.maxsize if stop is None else stop - start
            while piece := await asyncio.to_thread(file.read, min(_PIECE, left)):
                left -= len(piece)
                yield piece

    async def delete(self, tenant: str, sha256: str) -> None:
        """Remove a content if it is there."""
        await asyncio.to_thread(self._path(tenant, sha256).unlink, missing_ok=True)

    def _path(self, tenant: str, sha256: str) -> Path:
        if not _TENANT.fullmatch(tenant) or not _SHA256.fullmatch(sha256):
            raise ValueError("not a tenant name and a hash")
        return self._root / tenant / sha256[:2] / sha256

    def _keep(self, tenant: str, brought: Brought) -> None:
        path = self._path(tenant, brought.sha256)
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.parent / f"{uuid.uuid4().hex}{_PART}"
        try:
            with part.open("xb") as file:
                brought.file.seek(0)
                shutil.copyfileobj(brought.file, file, _PIECE)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent, self._root):
            sync_folder(folder)

    def _get(self, tenant: str, sha256: str) -> bytes | None:
        try:
            return self._path(tenant, sha256).read_bytes()
        except FileNotFoundError:
            return None

    @contextlib.asynccontextmanager
    async def _locked(self, kind: int) -> AsyncIterator[None]:
        taking = asyncio.ensure_future(asyncio.to_thread(self._lock, kind))
        try:
            with _told():
                held = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda done: os.close(done.result()))
            raise
        try:
            yield
        finally:
            os.close(held)

    def _lock(self, kind: int) -> int:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, kind)
        return held


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what a full disk, or a folder that cannot be written, answers into NotKept."""
    try:
        yield
    except OSError as fault:
        raise NotKept(f"a content cannot be written: {type(fault).__name__}") from fault


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
