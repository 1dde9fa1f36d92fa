"""A connection to MongoDB from its URL: what is asked of the driver, and what is refused of a server."""

from __future__ import annotations

import warnings
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from fhir_server.settings import SettingsError
from fhir_server.store.mongo.faults import unavailable
from fhir_server.store.mongo.turn import ACKNOWLEDGED
from fhir_server.store.mongo.view import Database, Document

DATABASE: Final = "hounsfield"
_OLDEST_WIRE: Final = 13
"""MongoDB 5.0, the first whose reads can be held to one instant outside a transaction."""

_DEFAULTS: Final[dict[str, Any]] = {
    "appName": "hounsfield",
    "connectTimeoutMS": 5_000,
    "heartbeatFrequencyMS": 2_000,
    "serverSelectionTimeoutMS": 15_000,
    "socketTimeoutMS": 120_000,
}


def connect(url: str) -> AsyncMongoClient[Document]:
    """Give a client that has not connected yet; raises SettingsError for a URL that is none."""
    asked = _options(url)
    named = {name.lower() for name in asked}
    options = {name: value for name, value in _DEFAULTS.items() if name.lower() not in named}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return AsyncMongoClient(
                url, retryWrites=True, retryReads=True, tz_aware=True, **options
            )
    except UserWarning as fault:
        told = [name for name in asked if name.lower() in str(fault).lower()]
        option = f"the option {told[0]}" if told else "an option"
        raise SettingsError(
            f"store: MongoDB has not {option} of the URL, or not its value"
        ) from None
    except (ConfigurationError, ValueError) as fault:
        raise SettingsError(f"store: this is no URL of a MongoDB: {type(fault).__name__}") from None


def _options(url: str) -> list[str]:
    """Give the names of a URL's options; raises SettingsError for a database that cannot be."""
    try:
        parts = urlsplit(url)
    except ValueError as fault:
        raise SettingsError(f"store: this is no URL of a MongoDB: {type(fault).__name__}") from None
    if "." in unquote(parts.path):  # the driver would take what comes before it
        raise SettingsError("store: the name of a MongoDB database has no dot")
    return [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]


def database(client: AsyncMongoClient[Document]) -> Database:
    """Give the URL's database, read and written as everything here is: acknowledged by a majority."""
    return client.get_default_database(DATABASE).with_options(
        read_concern=ReadConcern("majority"),
        write_concern=ACKNOWLEDGED,
        read_preference=ReadPreference.PRIMARY,
    )


async def check(client: AsyncMongoClient[Document]) -> None:
    """Refuse a server that has no transactions; raises SettingsError, or StoreUnavailable."""
    try:
        hello = await client.admin.command("hello")
    except OperationFailure as fault:
        raise SettingsError(f"store: MongoDB refuses the connection (code {fault.code})") from None
    except PyMongoError as fault:
        raise unavailable(fault) from fault
    if hello["maxWireVersion"] < _OLDEST_WIRE:
        raise SettingsError("store: MongoDB 5.0 or later is needed")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise SettingsError(
            "store: MongoDB must be a replica set, if only of one member, or a sharded cluster: "
            "a lone server has no transactions (start mongod with --replSet and initiate it)"
        )
