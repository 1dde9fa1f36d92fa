"""The inbox's way into the server: the same interactions as every other edge's."""

from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qsl

from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from resources import model
from resources.model import Resource
from resources.outcome import Gone, NotFound, PreconditionFailed


class Door(Protocol):
    """What the inbox needs of the server."""

    async def transact(self, tenant: str, bundle: Resource) -> Resource:
        """Commit a transaction Bundle and give the response Bundle; raises FhirError, nothing written."""

    async def find(self, tenant: str, url: str) -> Resource | None:
        """Give the resource of Type/id or the one that Type?criteria finds, or None."""


class Interactions:
    """The door of this server; `context` gives a tenant's context with our own access."""

    def __init__(self, context: Callable[[str], Context]) -> None:
        self._context = context

    async def transact(self, tenant: str, bundle: Resource) -> Resource:
        """Commit a transaction Bundle and give the response Bundle; raises FhirError, nothing written."""
        request = FhirRequest("POST", "", body=model.serialise(bundle))
        return model.parse((await dispatch(self._context(tenant), request)).body)

    async def find(self, tenant: str, url: str) -> Resource | None:
        """Give the resource of Type/id or the one that Type?criteria finds, or None.

        Raises PreconditionFailed where criteria find several.
        """
        path, _, query = url.partition("?")
        request = FhirRequest("GET", path, tuple(parse_qsl(query, keep_blank_values=True)))
        try:
            found = model.parse((await dispatch(self._context(tenant), request)).body)
        except (NotFound, Gone):
            return None
        if not query:
            return found
        entries = found.get("entry", [])
        if len(entries) > 1:
            raise PreconditionFailed("Several resources match", issue="multiple-matches")
        resource: Resource | None = entries[0]["resource"] if entries else None
        return resource
