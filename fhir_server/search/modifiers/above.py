"""Modifier :above on token, reference and uri: https://hl7.org/fhir/R4/search.html#modifiers"""

from fhir_server.search import codes, lines
from fhir_server.search.expression import Expression, Or, Uri
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape


@modifier("above", on="token reference uri")
def above(terms: Terms) -> Expression:
    """Some code subsumes a value; some reference is to it or what holds it; or a path that it is below."""
    return Or(tuple(_above(terms, value) for value in terms.values))


def _above(terms: Terms, value: str) -> Expression:
    match terms.parameter.type:
        case "token":
            return codes.related(terms.parameter, value, "above", terms.knowledge)
        case "reference":
            return lines.related(terms.parameter, value, "above", terms.knowledge)
        case _:
            starts = codes.starts(codes.url(unescape(value), "above"))
            return Or(tuple(Uri(a.name, one) for a in terms.parameter.atoms for one in starts))
