"""A backup of an installation at one position while it serves, and what puts it back (docs/care.md).

A backup is a folder: the store's copy, the archive's, blobs, keys unless they are left out, and last, once
all of that is on the disk, a manifest with the position and the SHA-256 of each file. The copy of an embedded
store is its file; that of a store in MongoDB is every version and document, and goes into another MongoDB.
"""

import asyncio
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from dicomweb_bridge.archive import backup as images
from dicomweb_bridge.archive.local import LocalArchive
from fhir_server import app
from fhir_server.app import stores
from fhir_server.durable import sync_folder
from fhir_server.installation import Installation
from fhir_server.settings import Settings
from fhir_server.statements import VERSION
from fhir_server.store.port import NotEmpty, StoreUnavailable, instant

MANIFEST = "manifest.json"
FORMATS = {"sqlite": 1, "mongodb": 2}
"""The form of the folder, by kind of store: an older version refuses what it does not know."""
_KEYS = "keys"
_ARCHIVE = "archive"
_BLOBS = "blobs"
_STORE = "store"
_PIECE = 1024 * 1024
_LOOK_S = 0.2
_TRIES = 5


class Refused(Exception):
    """A backup cannot be made or put back; the sentence says why."""


class File(msgspec.Struct, frozen=True):
    """One file of a backup: its size in bytes and its SHA-256."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds: up to which position, made when and by which version, its files by path."""

    format: int
    version: str
    made: str
    position: int
    keys: bool
    files: dict[str, File]
    store: Literal["sqlite", "mongodb"] = "sqlite"


async def make(house: Installation, folder: Path, *, keys: bool = True) -> Manifest:
    """Back an installation up into an empty or new folder; raises Refused."""
    await asyncio.to_thread(_begin, folder)
    try:
        position = await _together(house, folder)
    except StoreUnavailable as fault:
        raise Refused(str(fault)) from None
    except images.Incomplete as fault:
        raise Refused(str(fault)) from None
    if keys:
        await asyncio.to_thread(_copy_keys, house.settings.data / _KEYS, folder / _KEYS)
    made = instant(house.services.clock())
    kind = _kind(house.settings)
    manifest = Manifest(FORMATS[kind], VERSION, made, position, keys, {}, kind)
    return await asyncio.to_thread(_seal, folder, manifest)


def _kind(settings: Settings) -> Literal["sqlite", "mongodb"]:
    return "sqlite" if settings.store_url.startswith("sqlite:") else "mongodb"


async def _together(house: Installation, folder: Path) -> int:
    """Copy store and archive as they are at one instant: one holds still until the other is fixed."""
    loop, data = asyncio.get_running_loop(), house.settings.data
    pinned = threading.Event()
    begun: list[Future[int]] = []

    def pin() -> None:
        copying = house.copied.backup(folder, pinned.set)
        begun.append(asyncio.run_coroutine_threadsafe(copying, loop))
        while not pinned.wait(_LOOK_S) and not begun[0].done():
            continue

    async with house.kept.keeping():
        await asyncio.to_thread(images.copy, data / _ARCHIVE, folder / _ARCHIVE, pin)
        await asyncio.to_thread(_copy_blobs, data / _BLOBS, folder / _BLOBS)
    return await asyncio.wrap_future(begun[0])


def _copy_blobs(source: Path, target: Path) -> None:
    """Copy the contents beside the store; those that versions after the position name may be among them."""
    for path in sorted(source.glob("*/??/*")):
        name = path.relative_to(source)
        if path.suffix:  # it is being written
            continue
        (target / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name)


def _begin(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise Refused(f"{folder} cannot be made: {fault.strerror}") from None
    if any(folder.iterdir()):
        raise Refused(f"{folder} is not empty")


def _copy_keys(source: Path, target: Path) -> None:
    """Copy the keys; a rotation meanwhile renames files, so it is looked again."""
    for _ in range(_TRIES):
        target.mkdir(mode=0o700, exist_ok=True)
        try:
            for file in source.iterdir():
                if not file.name.startswith("."):
                    shutil.copy2(file, target / file.name)
        except FileNotFoundError:
            shutil.rmtree(target)
            continue
        return
    raise Refused("the keys are changed all the time")


def _seal(folder: Path, manifest: Manifest) -> Manifest:
    """Bring everything to the disk and write the manifest, which makes it a backup."""
    files = {str(path.relative_to(folder)): _file(path) for path in _files(folder)}
    manifest = msgspec.structs.replace(manifest, files=files)
    whole = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    with (folder / MANIFEST).open("xb") as file:
        file.write(whole)
        file.flush()
        os.fsync(file.fileno())
    for place in {folder, *(path.parent for path in _files(folder))}:
        sync_folder(place)
    return manifest


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _file(path: Path) -> File:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return File(size, digest.hexdigest())


def read(folder: Path) -> Manifest:
    """Read a backup's manifest; raises Refused."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise Refused(f"{folder} has no {MANIFEST}: it is no backup, or not a whole one") from None
    except msgspec.DecodeError:
        raise Refused(f"the {MANIFEST} of {folder} cannot be read") from None
    if manifest.format > max(FORMATS.values()):
        raise Refused("a newer version of hounsfield has made the backup")
    return manifest


async def restore(folder: Path, settings: Settings) -> Manifest:
    """Put a backup into the empty or missing data folder of the settings; raises Refused, SchemaTooNew.

    It is made beside the folder, looked at, and takes its place only when it is right. A store in MongoDB
    goes into the empty one that the settings name.
    """
    data = settings.data
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Refused(f"{data} is not empty")
    manifest = await asyncio.to_thread(read, folder)
    _fits(manifest, settings)
    beside, shared = data.with_name(f"{data.name}.restoring"), manifest.store == "mongodb"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        await asyncio.to_thread(_fetch, folder, manifest, beside)
        if shared:
            await _fill(replace(settings, data=beside))
        await _look(replace(settings, data=beside, store=settings.store if shared else None))
        if data.exists():
            data.rmdir()
        beside.rename(data)
        sync_folder(data.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _fits(manifest: Manifest, settings: Settings) -> None:
    """Refuse a store of the other kind, and one that is not where a restored one will be."""
    ways = "from one kind to the other go `export --history` and `load --history`"
    if manifest.store != _kind(settings):
        if manifest.store == "mongodb":
            raise Refused(f"the backup's store goes into MongoDB: name one with --store; {ways}")
        raise Refused(f"the backup's store is SQLite: leave --store out; {ways}")
    if manifest.store == "sqlite" and settings.store_url != replace(settings, store=None).store_url:
        raise Refused("the backup's store goes to store.sqlite in --data: leave --store out")


async def _fill(settings: Settings) -> None:
    """Put what was fetched of a store into the one that the settings name; raises Refused."""
    try:
        await stores.refill(settings, settings.data)
    except NotEmpty:
        raise Refused("the store is not empty: restore into a new database") from None
    for name in (_STORE, _BLOBS):
        await asyncio.to_thread(shutil.rmtree, settings.data / name, ignore_errors=True)


def _fetch(folder: Path, manifest: Manifest, beside: Path) -> None:
    """Copy the files, each of which must be what the manifest says."""
    for name, told in manifest.files.items():
        source, target = folder / name, beside / name
        if ".." in Path(name).parts or not source.is_file():
            raise Refused(f"the backup has lost {name}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(source, target)
        if _file(target) != told:
            raise Refused(f"{name} of the backup is damaged")


async def _look(settings: Settings) -> None:
    """Open what was fetched, which migrates it; raises Refused where it is not sound."""
    archive = LocalArchive(settings.data / _ARCHIVE)
    await archive.open()
    await archive.close()
    async with app.installation(settings, "http://localhost") as house:
        faults = await house.care.verify()
    if faults:
        raise Refused(f"the backup's store is not sound: {faults[0]}")
