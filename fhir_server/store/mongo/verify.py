"""The integrity of a store: what must hold between its collections, and each fault as a sentence.

Everything is read once, in pages in the order of `_id`; nothing is joined by the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from fhir_server.store.mongo.keys import HEAD, named
from fhir_server.store.mongo.versions import of_log
from fhir_server.store.mongo.view import Database, Document, View

_PAGE: Final = 1_000


async def faults(database: Database) -> list[str]:
    """Give a sentence for each kind of fault in the store, as it is at one instant."""
    found: Counter[str] = Counter()
    async with View(database).instant() as view:
        head = await view.one("head", HEAD, "_id_")
        last = logged = current = 0
        async for page in _pages(view, "changes"):
            last, logged = page[-1]["_id"], logged + len(page)
            found["changes whose version is gone"] += await _lost(view, page)
        async for page in _pages(view, "resources"):
            current += len(page)
            found["resources whose state and content disagree"] += sum(map(_torn, page))
            found["resources without one of their versions"] += await _short(view, page)
        former = await view.aggregate("history", [{"$match": {}}, {"$count": "n"}])
        versions = current + sum(one["n"] for one in former)
        found["versions more or fewer than the log tells of"] += abs(versions - logged)
        found["positions that the head and the log disagree about"] += abs(head["position"] - last)
        found["contents that are named more or less often than is counted"] += await _miscounted(
            view
        )
    return [f"There are {count} {what}." for what, count in found.items() if count]


async def _pages(view: View, collection: str) -> AsyncIterator[list[Document]]:
    after: Document = {}
    while page := await view.find(collection, after, sort=[("_id", 1)], limit=_PAGE, hint="_id_"):
        yield page
        after = {"_id": {"$gt": page[-1]["_id"]}}


async def _lost(view: View, logged: list[Document]) -> int:
    """Count the changes of a page that are neither a current version nor a former one."""
    names = list({named(of_log(one)) for one in logged})
    current = await view.find("resources", {"_id": {"$in": names}}, without="index", hint="_id_")
    positions = [one["_id"] for one in logged]
    former = await view.find("history", {"_id": {"$in": positions}}, without="body", hint="_id_")
    held = {(one["position"], one["version"], one["updated"]) for one in current}
    held |= {(one["_id"], one["version"], one["updated"]) for one in former}
    return sum((one["_id"], one["version"], one["updated"]) not in held for one in logged)


def _torn(resource: Document) -> bool:
    """Tell whether a resource is partly deleted."""
    signs = {resource["body"] is not None, resource["method"] != "DELETE"}
    signs |= {"type" in resource, "clinical" in resource, "index" in resource}
    return len(signs) > 1


async def _short(view: View, resources: list[Document]) -> int:
    """Count the resources of a page that have more or fewer former versions than their number says."""
    ids = list({one["id"] for one in resources})
    tenants = list({one["tenant"] for one in resources})
    stages: list[Document] = [
        {"$match": {"tenant": {"$in": tenants}, "id": {"$in": ids}}},
        {"$group": {"_id": ["$tenant", "$type", "$id"], "n": {"$sum": 1}}},
    ]
    found = await view.aggregate("history", stages)
    former = {"/".join(one["_id"]): one["n"] for one in found}
    return sum(
        one["version"] != 1 + one.get("purged", 0) + former.get(one["_id"], 0) for one in resources
    )


async def _miscounted(view: View) -> int:
    """Count the contents whose number of names is not the number of versions that name them."""
    stages: list[Document] = [
        {"$match": {"content": {"$exists": True}}},
        {"$group": {"_id": ["$tenant", "$content"], "n": {"$sum": 1}}},
    ]
    named: Counter[str] = Counter()
    for collection in ("resources", "history"):
        for one in await view.aggregate(collection, stages):
            named["/".join(one["_id"])] += one["n"]
    counted = {one["_id"]: one["names"] for one in await view.find("contents", {})}
    return sum(named[name] != counted.get(name, 0) for name in named.keys() | counted.keys())
