"""Reference modifier :identifier: https://hl7.org/fhir/R4/search.html#reference"""

from fhir_server.search.datatype_values import IDENTIFIER
from fhir_server.search.expression import Expression, Or
from fhir_server.search.lower import token_of
from fhir_server.search.modifier import Terms, modifier

_REFERENCE = frozenset({"Reference"})


@modifier("identifier", on="reference", datatypes="Reference")
def identifier(terms: Terms) -> Expression:
    """Some reference carries the identifier itself (Reference.identifier), whatever it points to."""
    return Or(
        tuple(
            token_of(atom + IDENTIFIER, value)
            for value in terms.values
            for atom in terms.atoms(_REFERENCE)
        )
    )
