"""Links inside a transaction: full URLs of its entries to references (FHIR R4 bundle.html#references).

A link stands in reference, uri, url, oid or uuid elements as the whole string, and in narrative as the
href of an a or the src of an img (narrative_links.py). A canonical is left alone, as the specification says,
and so are the entries of a Bundle that an entry brings: they have full URLs of their own.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from fhir_server.interactions import narrative_links
from resources.definitions import Definitions
from resources.model import Resource

LINKED: Final = frozenset({"uri", "url", "oid", "uuid"})
"""The types of the elements that a link may be the whole of, beside Reference.reference."""
NONE: Final[Mapping[str, str]] = MappingProxyType({})
FREE: Final = frozenset({"uri", "url"})
"""Those of them whose format a reference keeps to: no oid and no uuid does."""
_BUNDLE = ("Bundle", "entry")
_REFERENCE = ("Reference", "reference")
_RESOURCE = "Resource"
_NARRATIVE = "xhtml"
_WHOLE = ("http", "urn:", "#")
_SERVICE = re.compile(r"^(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}$")


class Links(Struct, frozen=True):
    """The references that stand for full URLs, and the definitions that say where links may stand.

    `firsts` has, of those full URLs whose entries make a resource, the version that the entry's has where it
    comes from, "" where that is not told: here it becomes version 1.
    """

    definitions: Definitions
    targets: Mapping[str, str]
    codes: frozenset[str] = LINKED
    firsts: Mapping[str, str] = NONE

    def linked(self, resource: Resource, full_url: str = "") -> Resource:
        """Give a resource that was sent under a full URL with every link replaced.

        What was sent stays as it is; what holds no link is shared with it.
        """
        if not self.targets:
            return resource
        service = _SERVICE.match(full_url)
        return self._within(resource, resource["resourceType"], service[1] if service else "")

    def linked_freely(self, resource: Resource, full_url: str = "") -> Resource:
        """Give it with every link replaced but those of oid and uuid elements."""
        return replace(self, codes=FREE).linked(resource, full_url)

    def _within(self, value: dict[str, Any], path: str, service: str) -> dict[str, Any]:
        """Walk the members of an object whose elements the definitions know by `path`."""
        known, made = _members(self.definitions, path, self.codes), value
        for name, part in value.items():
            member = known.get(name)
            if member is not None:
                replaced = self._replaced(part, member[0], service, linked=member[1])
                if replaced is not part:
                    made = dict(value) if made is value else made
                    made[name] = replaced
        return made

    def _replaced(self, value: Any, below: str, service: str, *, linked: bool) -> Any:
        kind = type(value)
        if kind is dict:
            inside = str(value.get("resourceType", below)) if below == _RESOURCE else below
            return self._within(value, inside, service)
        if kind is list:
            parts = [self._replaced(part, below, service, linked=linked) for part in value]
            changed = any(part is not old for part, old in zip(parts, value, strict=True))
            return parts if changed else value
        if kind is str and linked:
            return self._target(value, service)
        if kind is str and below == _NARRATIVE:
            return narrative_links.replaced(value, lambda link: self._target(link, service))
        return value

    def _target(self, value: str, service: str) -> str:
        """Give the reference that stands for a link, a fragment kept; the link itself where none does."""
        url, hash_, fragment = value.partition("#")
        found = self.targets.get(url) or (service and self.targets.get(service + url))
        if not found and "/_history/" in url:
            found = self._versioned(url) or (service and self._versioned(service + url))
        return f"{found}{hash_}{fragment}" if found else value

    def _versioned(self, url: str) -> str:
        """Give what stands for the URL of a version, matched without that; empty where nothing does.

        It names a version only where it is the entry's, and it can be known which that becomes.
        """
        whole, _, version = url.rpartition("/_history/")
        found = self.targets.get(whole, "")
        return f"{found}/_history/1" if found and self.firsts.get(whole) in {"", version} else found


@functools.lru_cache(4096)
def _members(
    definitions: Definitions, path: str, codes: frozenset[str]
) -> Mapping[str, tuple[str, bool]]:
    """Give, by JSON name, what those members of a path hold in which links may stand, and if one is it.

    The entries of a Bundle are not among them.
    """
    if definitions.kind(path.partition(".")[0]) is None:
        return {}  # no type of R4: validation says so
    found = {}
    for element in definitions.children(path).values():
        for name, type_ref in definitions.json_names(element).items():
            below = definitions.content(path, element, type_ref)
            linked = type_ref.code in codes or (path, name) == _REFERENCE
            if (path, name) == _BUNDLE:
                continue
            if linked or below == _NARRATIVE or definitions.kind(below) != "primitive":
                found[name] = below, linked
    return found


def references(definitions: Definitions, resource: Resource) -> Iterator[dict[str, Any]]:
    """Give each Reference element that has a reference, contained resources included.

    Those in the entries of a Bundle are its own, and left out, as is what the definitions do not know.
    """
    return (element for _, element in located(definitions, resource))


def located(definitions: Definitions, resource: Resource) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the same elements, each with where it stands below the resource, e.g. performer[0]."""
    pending: list[tuple[str, Any, str]] = [("", resource, _RESOURCE)]
    while pending:
        where, value, path = pending.pop()
        if type(value) is list:
            pending += [(f"{where}[{n}]", part, path) for n, part in enumerate(value)]
        elif type(value) is dict:
            inside = str(value.get("resourceType", path)) if path == _RESOURCE else path
            if inside == _REFERENCE[0] and type(value.get("reference")) is str:
                yield where[1:], value
            known = _members(definitions, inside, frozenset())
            parts = ((f"{where}.{name}", part, name) for name, part in value.items())
            pending += [(at, part, known[name][0]) for at, part, name in parts if name in known]


def conditional_references(
    definitions: Definitions, resource: Resource
) -> Iterator[tuple[dict[str, Any], str]]:
    """Give each Reference element whose reference is a query (Type?criteria), with that query."""
    for element in references(definitions, resource):
        text = element["reference"]
        if "?" in text and not text.startswith(_WHOLE):
            yield element, text
