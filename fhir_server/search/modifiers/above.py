"""Modifier :above on token, reference and uri: https://hl7.org/fhir/R4/search.html#modifiers"""

from fhir_server.search import codes, hierarchies
from fhir_server.search.expression import Expression, Or, Uri
from fhir_server.search.modifier import Terms, modifier


@modifier("above", on="token reference uri")
def above(terms: Terms) -> Expression:
    """Some code subsumes a value; some reference is to it or what holds it; or a path that it is below."""
    return hierarchies.related(terms, "above", _paths)


def _paths(atom: str, url: str) -> Expression:
    return Or(tuple(Uri(atom, one) for one in codes.starts(url)))
