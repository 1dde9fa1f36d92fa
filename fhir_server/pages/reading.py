"""Reads and searches through the one door, with the access of whoever looks at the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from resources import model, reference
from resources.model import Resource
from resources.outcome import Forbidden, Gone, NotFound

_ABSENT = (Forbidden, Gone, NotFound)


@dataclass(slots=True)
class Found:
    """One page of a search: its matches in order, what came beside them, the next page's cursor."""

    matches: list[Resource] = field(default_factory=list)
    beside: dict[str, Resource] = field(default_factory=dict)
    following: str = ""


class Reader:
    """What one person may see; everything goes through `dispatch` under that person's access."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def body(self, path: str, *query: tuple[str, str]) -> bytes:
        """Give the JSON of an interaction by GET; raises FhirError."""
        response = await dispatch(self.context, FhirRequest("GET", path, query))
        return response.body

    async def read(self, path: str) -> Resource:
        """Give the resource at Type/id or Type/id/_history/version; raises FhirError."""
        return model.parse(await self.body(path))

    async def seen(self, path: str) -> Resource | None:
        """Give the resource at a path, None where it is absent, deleted or out of reach."""
        try:
            return await self.read(path)
        except _ABSENT:
            return None

    async def follow(self, element: Mapping[str, object] | None) -> Resource | None:
        """Give what a Reference element leads to on this server, None where that is not to be seen."""
        path = self.path(element)
        return await self.seen(path) if path else None

    def path(self, element: Mapping[str, object] | None) -> str:
        """Give Type/id of a Reference element that is local to this server, else nothing."""
        found = reference.literal(element or {}, *self.context.bases)
        known = self.context.services.definitions.resource_types
        local = found is not None and found.form == "local" and found.type in known
        return f"{found.type}/{found.id}" if found is not None and local else ""

    async def search(self, path: str, *query: tuple[str, str]) -> Found:
        """Give one page of a search; nothing where the caller's scopes do not speak of the type."""
        try:
            bundle = model.parse(await self.body(path, *query))
        except Forbidden:
            return Found()
        found = Found(following=following(bundle))
        for entry in bundle.get("entry", ()):
            resource = entry["resource"]
            if entry["search"]["mode"] == "match":
                found.matches.append(resource)
            elif "id" in resource:
                found.beside[f"{resource['resourceType']}/{resource['id']}"] = resource
        return found

    async def count(self, type_: str) -> int | None:
        """Give how many resources of a type the caller may see, None where no scope speaks of it."""
        try:
            bundle = model.parse(await self.body(type_, ("_summary", "count")))
        except Forbidden:
            return None
        return int(bundle["total"])


def following(bundle: Resource) -> str:
    """Give the cursor of a Bundle's next page, empty on the last."""
    for link in bundle.get("link", ()):
        if link["relation"] == "next":
            return dict(parse_qsl(urlsplit(str(link["url"])).query)).get("_cursor", "")
    return ""
