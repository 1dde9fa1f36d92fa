"""Token modifier :not-in: https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.codes import in_value_set
from fhir_server.search.expression import Expression, Not, Or
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape


@modifier("not-in", on="token", datatypes="CodeableConcept Coding code Identifier")
def not_in(terms: Terms) -> Expression:
    """No code of the element is in any of the value sets; a resource without the element is found too."""
    return Not(
        Or(
            tuple(
                in_value_set(terms.parameter, unescape(value), terms.knowledge)
                for value in terms.values
            )
        )
    )
