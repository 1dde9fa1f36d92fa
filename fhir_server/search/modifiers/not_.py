"""Token modifier :not: https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.expression import Expression, Not, Or
from fhir_server.search.modifier import Terms, modifier


@modifier("not", on="token")
def not_(terms: Terms) -> Expression:
    """No code of the element is one of the values; a resource without the element is found too."""
    return Not(Or(tuple(terms.plain(terms.parameter, value) for value in terms.values)))
