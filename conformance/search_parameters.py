"""A SearchParameter that is derived from one of R4's agrees with it (FHIR R4 searchparameter.html)."""

from collections.abc import Iterator

from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue


def issues(resource: Resource, expression: str, definitions: Definitions) -> Iterator[Issue]:
    """Give what differs from the parameter that it is derived from, where that is one of R4."""
    derived_from = resource.get("derivedFrom")
    if not isinstance(derived_from, str):
        return
    url = derived_from.partition("|")[0]
    parameter = next((held for held in definitions.search_parameters if held.url == url), None)
    if parameter is not None and parameter.type != resource.get("type"):
        text = "The type is that of the SearchParameter that it is derived from"
        yield Issue("error", "business-rule", text, f"{expression}.type")
