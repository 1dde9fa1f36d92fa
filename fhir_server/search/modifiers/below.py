"""Modifier :below on token, reference and uri: https://hl7.org/fhir/R4/search.html#modifiers"""

from fhir_server.search import hierarchies
from fhir_server.search.expression import Expression, Uri
from fhir_server.search.modifier import Terms, modifier


@modifier("below", on="token reference uri")
def below(terms: Terms) -> Expression:
    """Some code is subsumed by a value; some reference is to it, within it or a version of it; or a path."""
    return hierarchies.related(terms, "below", _paths)


def _paths(atom: str, url: str) -> Expression:
    return Uri(atom, url, below=True)
