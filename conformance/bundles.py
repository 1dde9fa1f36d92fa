"""The rules on a Bundle that R4 states in words: fullUrl, search results, documents (FHIR R4 bundle.html)."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue

_RESTFUL = re.compile(r"(https?://[^\s?#]*/)?([A-Z][A-Za-z]{1,60})/([A-Za-z0-9\-.]{1,64})")
_LONGEST = 4000
_VERSION = "/_history/"


def issues(bundle: Resource, expression: str, definitions: Definitions) -> Iterator[Issue]:
    """Give what is wrong with a Bundle whose structure is right, apart from its invariants."""
    entries = bundle.get("entry", ())
    for index, entry in enumerate(entries):
        at = f"{expression}.entry[{index}]"
        severity = "error" if bundle.get("type") == "document" else "warning"
        yield from _full_url(entry, at, severity, definitions)
        if bundle.get("type") == "searchset":
            yield from _result(entry, at)
    if bundle.get("type") == "document":
        yield from _document(entries, f"{expression}.entry[0].resource")


def resolver(bundle: Resource) -> Callable[[str], Resource | None]:
    """Give what finds an entry's resource by a reference: its fullUrl, or what that ends with."""

    def resolve(reference: str) -> Resource | None:
        wanted = reference.partition(_VERSION)[0]
        for entry in bundle.get("entry", ()):
            url, resource = entry.get("fullUrl", ""), entry.get("resource")
            if resource is not None and (url == wanted or url.endswith(f"/{wanted}")):
                return dict(resource)
        return None

    return resolve


def _full_url(
    entry: Mapping[str, Any], at: str, severity: str, definitions: Definitions
) -> Iterator[Issue]:
    """A fullUrl that is a server's URL agrees with the resource (bundle.html#bundle-unique).

    HL7's own examples break this in other Bundles than documents, where it is a warning.
    """
    resource, url = entry.get("resource"), entry.get("fullUrl")
    found = _restful(url) if resource else None
    if found is None or not found[1] or found[2] not in definitions.resource_types or not resource:
        return
    is_created = entry.get("request", {}).get("method") == "POST"
    identifier = resource.get("id", found[3] if is_created else None)
    if (found[2], found[3]) != (resource.get("resourceType"), identifier):
        text = "The fullUrl of a resource on a server ends with its type and id"
        yield Issue(severity, "invalid", text, f"{at}.fullUrl")


def _result(entry: Mapping[str, Any], at: str) -> Iterator[Issue]:
    """A result of a search has an id; an outcome is an OperationOutcome (bundle.html#searchset)."""
    resource = entry.get("resource")
    if not resource:
        return
    is_outcome = resource.get("resourceType") == "OperationOutcome"
    if entry.get("search", {}).get("mode") == "outcome" and not is_outcome:
        text = "An entry of the search mode outcome holds an OperationOutcome"
        yield Issue("error", "invalid", text, f"{at}.resource")
    elif "id" not in resource and not is_outcome:
        text = "A resource that a search found has an id"
        yield Issue("error", "required", text, f"{at}.resource.id")


def _document(entries: Any, expression: str) -> Iterator[Issue]:
    """What the Composition of a document refers to is in the document (documents.html#content)."""
    first = entries[0] if entries else {}
    composition = first.get("resource", {})
    if composition.get("resourceType") != "Composition":
        return
    known = {entry["fullUrl"] for entry in entries if isinstance(entry.get("fullUrl"), str)}
    base = _base(first.get("fullUrl"))
    for text, at in _references(composition, expression):
        if _is_missing(text.partition(_VERSION)[0], base, known):
            said = "What a document's Composition refers to is in the document, under its fullUrl"
            yield Issue("error", "not-found", said, at)


def _base(url: Any) -> str | None:
    found = _restful(url)
    return found[1] if found else None


def _restful(url: Any) -> re.Match[str] | None:
    is_short = isinstance(url, str) and len(url) < _LONGEST
    return _RESTFUL.fullmatch(url) if is_short else None


def _is_missing(reference: str, base: str | None, known: set[str]) -> bool:
    """Absolute URLs may lead elsewhere; all else is found by its fullUrl (bundle.html#references)."""
    if reference.startswith("urn:"):
        return reference not in known
    if ":" in reference.partition("/")[0]:
        return False
    return base is None or base + reference not in known


def _references(value: Any, expression: str) -> Iterator[tuple[str, str]]:
    """Give the references in a resource with their places, those in contained ones and to them left out."""
    stack: list[tuple[Any, str]] = [(value, expression)]
    while stack:
        held, at = stack.pop()
        if isinstance(held, list):
            stack.extend((item, f"{at}[{index}]") for index, item in enumerate(held))
        elif isinstance(held, dict):
            found = held.get("reference")
            if isinstance(found, str) and not found.startswith("#"):
                yield found, f"{at}.reference"
            stack.extend((v, f"{at}.{n}") for n, v in held.items() if n not in _PASSED_OVER)


_PASSED_OVER = frozenset({"contained", "extension", "modifierExtension"})
