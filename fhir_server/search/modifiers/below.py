"""Modifier :below on token, reference and uri: https://hl7.org/fhir/R4/search.html#modifiers"""

from fhir_server.search import codes, lines
from fhir_server.search.expression import Expression, Or, Uri
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape


@modifier("below", on="token reference uri")
def below(terms: Terms) -> Expression:
    """Some code is subsumed by a value; some reference is to it, within it or a version of it; or a path."""
    return Or(tuple(_below(terms, value) for value in terms.values))


def _below(terms: Terms, value: str) -> Expression:
    match terms.parameter.type:
        case "token":
            return codes.related(terms.parameter, value, "below", terms.knowledge)
        case "reference":
            return lines.related(terms.parameter, value, "below", terms.knowledge)
        case _:
            url = codes.url(unescape(value), "below")
            return Or(tuple(Uri(atom.name, url, below=True) for atom in terms.parameter.atoms))
