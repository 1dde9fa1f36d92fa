"""Which store adapter the settings name, and where its large contents are kept."""

from pathlib import Path
from typing import Protocol

from fhir_server.app.clock import now
from fhir_server.search.match import Clinical
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import Settings, SettingsError
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Care, Documents, Store
from fhir_server.store.sqlite.blobs import FileBlobs
from fhir_server.store.sqlite.store import SqliteStore


class Adapter(Store, Documents, Care, Protocol):
    """What a store adapter is: all three ports over one database."""


def chosen(settings: Settings, parameters: SearchParameters) -> Adapter:
    """Give the store that the settings name, not yet opened; raises SettingsError."""

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return atom.name if atom else None

    scheme, _, path = settings.store_url.partition("://")
    if scheme != "sqlite":
        return _mongo(settings.store_url, clinical)
    file = Path(path.removeprefix("/"))
    file.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(file, clock=now, clinical=clinical)


def _mongo(url: str, clinical: Clinical) -> Adapter:
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
    """Give the store with large contents beside it; in one of several machines they stay inside."""
    blobs = FileBlobs(settings.data / "blobs")
    if isinstance(store, SqliteStore):
        return OutOfLine(store, store, blobs)
    return OutOfLine(store, store, blobs, large=settings.max_body_bytes)


def copied(store: Adapter) -> SqliteStore | None:
    """Give the store where it can copy itself."""
    return store if isinstance(store, SqliteStore) else None
