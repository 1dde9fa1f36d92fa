"""Links inside a transaction: placeholders to references (FHIR R4 bundle.html#references)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Rewrite = Callable[[str], str]
_URN = ("urn:uuid:", "urn:oid:")


def rewrite(resource: Any, links: Mapping[str, str]) -> None:
    """Replace, in place, every string that is a placeholder of the transaction by its reference.

    A placeholder stands in reference, uri, url, oid or uuid elements as the whole string, and in narrative as
    the value of href or src; a canonical is left alone, as the specification says.
    """
    if isinstance(resource, dict):
        for name, value in resource.items():
            if isinstance(value, str):
                resource[name] = _replaced(name, value, links)
            else:
                rewrite(value, links)
    elif isinstance(resource, list):
        for index, value in enumerate(resource):
            if isinstance(value, str):
                resource[index] = links.get(value, value)
            else:
                rewrite(value, links)


def _replaced(name: str, value: str, links: Mapping[str, str]) -> str:
    if value.startswith(_URN):
        target, hash_, fragment = value.partition("#")
        return links[target] + hash_ + fragment if target in links else value
    if name == "div" and "urn:" in value:
        for placeholder, reference in links.items():
            value = value.replace(f'="{placeholder}"', f'="{reference}"')
        return value
    if name == "reference" and value in links:
        return links[value]
    return value


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
