"""What $validate says beyond what a write is refused for: codes, and extensions by their definitions.

https://hl7.org/fhir/R4/validation.html
"""

from typing import Any, Literal

from conformance.coded import Coded
from conformance.extension_use import ExtensionUse, Find
from conformance.terminology.port import Terminology
from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue

_MOST = 100


def extension_urls(resource: Resource) -> tuple[str, ...]:
    """Give the absolute urls of all extensions in a resource, each once."""
    found: dict[str, None] = {}
    stack: list[Any] = [resource]
    while stack:
        held = stack.pop()
        if isinstance(held, list):
            stack.extend(held)
        elif isinstance(held, dict):
            for name in ("extension", "modifierExtension"):
                urls = (one.get("url") for one in held.get(name, ()) if isinstance(one, dict))
                found.update((url, None) for url in urls if isinstance(url, str) and ":" in url)
            stack.extend(held.values())
    return tuple(found)


class Advice:
    """Tells of resources whose base validation found no error.

    `find` gives the definition of an extension by its url; `unknown` is the severity of an extension in HL7's
    namespace that it does not give.
    """

    def __init__(
        self,
        definitions: Definitions,
        terminology: Terminology,
        find: Find,
        unknown: Literal["warning", "error"] = "warning",
    ) -> None:
        self._coded = Coded(definitions, terminology)
        self._extensions = ExtensionUse(definitions, find, unknown)

    def issues(self, resource: Resource) -> tuple[Issue, ...]:
        """Give what is to be said, errors among it; at most 200 issues."""
        extensions = dict.fromkeys(self._extensions.issues(resource))
        return (*tuple(extensions)[:_MOST], *self._coded.issues(resource))
