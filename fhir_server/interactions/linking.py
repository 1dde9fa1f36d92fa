"""Links inside a transaction: full URLs of its entries to references (FHIR R4 bundle.html#references).

A link stands in reference, uri, url, oid or uuid elements as the whole string, and in narrative as the
value of href or src. A canonical is left alone, as the specification says.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from resources.definitions import Definitions
from resources.model import Resource

_LINKED = frozenset({"uri", "url", "oid", "uuid"})
_ATTRIBUTE = re.compile(r'((?:href|src)\s*=\s*")([^"]+)(")')
_SERVICE = re.compile(r"^(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}$")


class Links(Struct, frozen=True):
    """The references that stand for full URLs, and the definitions that say where links may stand."""

    definitions: Definitions
    targets: Mapping[str, str]

    def rewrite(self, resource: Resource, full_url: str = "") -> None:
        """Replace, in place, every link of a resource that was sent under a full URL."""
        if self.targets:
            service = _SERVICE.match(full_url)
            self._within(resource, resource["resourceType"], service[1] if service else "")

    def _within(self, value: dict[str, Any], path: str, service: str) -> None:
        """Walk the members of an object whose elements the definitions know by `path`."""
        known = _members(self.definitions, path)
        for name, part in value.items():
            if name in known:
                below, linked = known[name]
                value[name] = self._replaced(part, below, service, linked=linked)

    def _replaced(self, value: Any, below: str, service: str, *, linked: bool) -> Any:
        if isinstance(value, list):
            return [self._replaced(part, below, service, linked=linked) for part in value]
        if isinstance(value, dict):
            inside = str(value.get("resourceType", below)) if below == "Resource" else below
            self._within(value, inside, service)
        elif isinstance(value, str) and linked:
            return self._target(value, service)
        elif isinstance(value, str) and below == "xhtml":
            return _ATTRIBUTE.sub(lambda m: m[1] + self._target(m[2], service) + m[3], value)
        return value

    def _target(self, value: str, service: str) -> str:
        """Give the reference that stands for a link, a fragment kept; the link itself where none does."""
        url, hash_, fragment = value.partition("#")
        found = self.targets.get(url) or (service and self.targets.get(service + url))
        return f"{found}{hash_}{fragment}" if found else value


@functools.lru_cache(4096)
def _members(definitions: Definitions, path: str) -> Mapping[str, tuple[str, bool]]:
    """Give, by JSON name, what a path's members hold and whether a link may stand there."""
    if definitions.kind(path.partition(".")[0]) is None:
        return {}  # no type of R4: validation says so
    return {
        name: (
            definitions.content(path, element, type_ref),
            type_ref.code in _LINKED or (path, name) == ("Reference", "reference"),
        )
        for element in definitions.children(path).values()
        for name, type_ref in definitions.json_names(element).items()
    }


def conditional_references(resource: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Give each Reference element whose reference is a query (Type?criteria), with that query."""
    if isinstance(resource, dict):
        reference = resource.get("reference")
        if (
            isinstance(reference, str)
            and "?" in reference
            and not reference.startswith(("http", "urn:", "#"))
        ):
            yield resource, reference
        for value in resource.values():
            yield from conditional_references(value)
    elif isinstance(resource, list):
        for value in resource:
            yield from conditional_references(value)
