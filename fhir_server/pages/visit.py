"""One request for a page by someone who may see pages: who it is, what it asks for."""

import re
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access import Access
from fhir_server.pages import titles
from fhir_server.pages.look import Look
from fhir_server.pages.ports import Ports
from fhir_server.pages.readable import Readable
from fhir_server.pages.reading import Reader
from resources.outcome import NotFound

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request with the reader of the person who makes it."""

    request: Request
    ports: Ports
    look: Look
    access: Access
    reader: Reader

    def id(self, name: str = "id") -> str:
        """Give a logical id of the path; raises NotFound for what can be none."""
        text = str(self.request.path_params[name])
        if not _ID.fullmatch(text):
            raise NotFound("Nothing has this address")
        return text

    def type(self) -> str:
        """Give the resource type of the path; raises NotFound for what is none."""
        text = str(self.request.path_params["type"])
        if text not in self.reader.context.services.definitions.resource_types:
            raise NotFound("There is no such resource type")
        return text

    def asked(self, name: str) -> str:
        """Give a query parameter, empty where it is absent."""
        return self.request.query_params.get(name, "")

    def readable(self) -> Readable:
        """Give what tells resources in words."""
        context = self.reader.context
        return Readable(context.services.definitions, *context.bases)

    async def page(self, name: str, status: int = 200, **values: Any) -> Response:
        """Give a page with its frame: who is logged in, and the way out."""
        return self.look.page(
            name,
            status,
            who=await self._who(),
            logout=self.ports.logout if self.ports.login else "",
            here=self.request.url.path,
            **values,
        )

    async def _who(self) -> str:
        """Give the name of whoever is logged in."""
        if self.ports.login is None:
            return "Open access, no login"
        user = self.access.fhir_user or ""
        found = await self.reader.seen(user) if user else None
        return titles.title(found) if found else user or self.access.subject
