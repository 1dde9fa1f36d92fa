"""What a file's resource asks for: to be put, or, as a Bundle of requests, to be done as it says."""

from collections.abc import Iterator
from typing import Final

from resources.model import Resource

_REQUESTS: Final = frozenset({"transaction", "batch"})


def asks(resource: Resource) -> bool:
    """Tell whether a resource is a Bundle of requests."""
    return resource["resourceType"] == "Bundle" and resource.get("type") in _REQUESTS


def singles(resource: Resource) -> Iterator[Resource]:
    """Give a resource, or each resource of a collection."""
    if resource["resourceType"] != "Bundle" or resource.get("type") != "collection":
        yield resource
        return
    for entry in resource.get("entry", []):
        if "resource" in entry:
            yield from singles(entry["resource"])


def reason(outcome: Resource) -> str:
    """Give the first issue of an OperationOutcome as a sentence with its place."""
    for issue in outcome.get("issue", []):
        where = issue.get("expression", [""])[0]
        text = issue.get("diagnostics", issue.get("code", "refused"))
        return f"{text} ({where})" if where else str(text)
    return "refused"
