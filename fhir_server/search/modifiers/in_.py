"""Token modifier :in: https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.codes import in_value_set
from fhir_server.search.expression import Expression, Or
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape


@modifier("in", on="token", datatypes="CodeableConcept Coding code Identifier")
def in_(terms: Terms) -> Expression:
    """Some code of the element is in a value set; one that is not known is an error."""
    return Or(
        tuple(
            in_value_set(terms.parameter, unescape(value), terms.knowledge)
            for value in terms.values
        )
    )
