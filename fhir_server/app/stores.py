"""Which store adapter the settings name, and where its large contents are kept."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from fhir_server.app.clock import now
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.search.match import Clinical
from fhir_server.search.parameters import SearchParameters
from fhir_server.setting_values import store_file
from fhir_server.settings import Settings, SettingsError
from fhir_server.shelf import PUBLISHED, Shelf
from fhir_server.statements import Statements
from fhir_server.store.blobs import Blobs
from fhir_server.store.files import Files, FolderFiles
from fhir_server.store.memory import MemoryStore
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Care, Copied, Documents, Extract, Store
from fhir_server.store.sqlite.blobs import FileBlobs
from fhir_server.store.sqlite.store import SqliteStore
from resources import definitions as r4


class Shared(Store, Documents, Care, Copied, Protocol):
    """An adapter that keeps large contents itself, for every server that shares it."""

    @property
    def contents(self) -> Blobs:
        """Where they are."""

    def files(self, kind: str) -> Files:
        """Give where the files of a kind of job lie."""

    async def restore(self, folder: Path, extract: Callable[[], Awaitable[Extract]]) -> int:
        """Put a copy back into an empty store; raises NotEmpty."""


Adapter = SqliteStore | Shared
"""What a store adapter is: all three ports over one database."""


def chosen(settings: Settings, parameters: SearchParameters) -> Adapter:
    """Give the store that the settings name, not yet opened; raises SettingsError."""

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return atom.name if atom else None

    file = file_of(settings)
    if file is None:
        return _mongo(settings.store_url, clinical)
    return SqliteStore(file, clock=now, clinical=clinical)


def file_of(settings: Settings) -> Path | None:
    """Give the file of an embedded store, all links followed, its folder made; None for another store.

    Raises SettingsError where the folder cannot be made.
    """
    file = store_file(settings.store_url)
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SettingsError(f"store: {file.parent} cannot be made: {fault.strerror}") from None
    return file.resolve()


def shelf(parameters: SearchParameters, statements: Statements) -> Shelf:
    """Give what the server itself defines; it is in memory, and indexed when it is asked for."""

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return atom.name if atom else None

    held = MemoryStore(clock=lambda: PUBLISHED, clinical=clinical)
    return Shelf(held, parameters.values, statements.operation_definitions)


def _mongo(url: str, clinical: Clinical) -> Shared:
    try:
        from fhir_server.store.mongo.store import MongoStore  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"bson", "pymongo"}:
            raise
        raise SettingsError(
            "store: MongoDB needs the library pymongo: pip install 'hounsfield[mongo]'"
        ) from None
    return MongoStore(url, clock=now, clinical=clinical)


def kept(settings: Settings, store: Adapter) -> OutOfLine:
    """Give the store with large contents beside it: in files, or where all servers of the store find them."""
    if isinstance(store, SqliteStore):
        return OutOfLine(store, store, FileBlobs(settings.data / "blobs"))
    return OutOfLine(store, store, store.contents)


def files(settings: Settings, store: Adapter, kind: str) -> Files:
    """Give where the files of a kind of job lie: in a folder, or where all servers of the store find them."""
    if isinstance(store, SqliteStore):
        return FolderFiles(settings.data / kind)
    return store.files(kind)


async def refill(settings: Settings, folder: Path) -> None:
    """Put the copy of a shared store into the empty one that the settings name; raises NotEmpty."""
    definitions = r4.load()
    parameters = SearchParameters(definitions)
    store = chosen(settings, parameters)
    if isinstance(store, SqliteStore):
        raise SettingsError("store: an embedded store is put back as its file")
    uploaded = Uploaded(store, definitions, parameters)

    async def extract() -> Extract:
        await uploaded.look()
        return uploaded.extract

    await store.open()
    try:
        await store.restore(folder, extract)
    finally:
        await store.close()
