"""Versions and changes as documents and back; a document of `resources` or `history` holds a whole body.

The driver gives long integers as a class of its own, which no encoder knows: what leaves here are ints.
"""

from __future__ import annotations

from fhir_server.store import marks
from fhir_server.store.mongo.keys import Filter, of_key
from fhir_server.store.mongo.view import Document
from fhir_server.store.port import Key, Version


def of_document(found: Document, key: Key) -> Version:
    """Give the version that a document of `resources` or of `history` holds."""
    position = found["position"] if "position" in found else found["_id"]
    return Version(
        key,
        int(found["version"]),
        int(found["updated"]),
        found["method"],
        found["body"],
        int(position),
    )


def of_log(found: Document) -> Key:
    """Give the key that a document of `changes` tells of."""
    return Key(found["tenant"], found["type"], found["id"])


def logged(version: Version) -> Document:
    """Give what `changes` holds of a version."""
    return {
        "_id": version.position,
        "tenant": version.key.tenant,
        "id": version.key.id,
        "type": version.key.type,
        "version": version.version_id,
        "updated": version.updated,
    }


def superseded(version: Version) -> Document:
    """Give what `history` holds of a version that is no longer current."""
    return {
        **logged(version),
        "method": version.method,
        **_named(version),
        "body": version.body,
    }


def current(version: Version, place: int, searched: Filter) -> Document:
    """Give what `resources` holds of a version; `searched` is what a search sees, empty once deleted."""
    return {
        **of_key(version.key),
        "version": version.version_id,
        "updated": version.updated,
        "position": version.position,
        "place": place,
        "method": version.method,
        **searched,
        **_named(version),
        "body": version.body,
    }


def _named(version: Version) -> Filter:
    """Give the SHA-256 of the content that a version names, as `content`; nothing where it names none."""
    sha256 = marks.of(version.key.type, version.body)
    return {} if sha256 is None else {"content": sha256}
