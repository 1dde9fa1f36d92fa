"""What MongoDB's documents are named by: identities, the names of index entries, the ends of text ranges.

An index entry is named by its kind's letter and its atom, without the type that every entry of a resource
shares: `t:identifier` is a token of Patient.identifier. Strings compare by their bytes, as code points do.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_server.search.expression import Kind
from fhir_server.store.beginnings import successor
from fhir_server.store.port import Key

Filter = dict[str, Any]
"""A condition in MongoDB's query language."""

NAMED: Final[dict[Kind, tuple[str, ...]]] = {
    "token": ("t",),
    "text": ("s",),
    "date": ("d", "y", "w"),
    "number": ("n", "N"),
    "quantity": ("q", "Q"),
    "reference": ("r", "l"),
    "uri": ("u",),
    "position": ("p",),
}
"""The letters of a kind's own entries; `x` (a string as written) and `c` (a canonical without its version)
stand beside entries of a kind and are not counted as values. Capitals are numbers that are intervals; `e` is
a repetition of an element, with entries of its own."""

HEAD: Final[Filter] = {"_id": "head", "tenant": "", "id": "head"}
"""The one document of `head`, which belongs to no tenant."""


def identity(tenant: str, type: str, id: str) -> str:
    """Give the `_id` of a resource's document; a type and a logical id hold no slash."""
    return f"{tenant}/{type}/{id}"


def named(key: Key) -> str:
    """Give the `_id` of a key's document."""
    return identity(key.tenant, key.type, key.id)


def of_key(key: Key) -> Filter:
    """Give the filter of one resource's document: the shard key and its `_id`."""
    return {"_id": named(key), "tenant": key.tenant, "id": key.id}


def entry(letter: str, type: str, atom: str) -> str:
    """Give the name of the entries of an atom on a type."""
    return f"{letter}:{atom.removeprefix(type + '.')}"


def entries(kind: Kind, type: str, atoms: tuple[str, ...]) -> list[str]:
    """Give the names of all entries that are values of the atoms."""
    return [entry(letter, type, atom) for letter in NAMED[kind] for atom in atoms]


def begins(start: str) -> Filter:
    """Give the condition that a string begins so, as a range of an index; none for an empty start."""
    if not start:
        return {}
    end = successor(start)
    return {"$gte": start} if end is None else {"$gte": start, "$lt": end}
