"""Token modifier :text: https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.beside_values import TEXT
from fhir_server.search.expression import Expression, Or, Text
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape
from resources.datatypes import normal

_WITH_TEXT = frozenset({"CodeableConcept", "Coding", "Identifier"})


@modifier("text", on="token", datatypes=" ".join(_WITH_TEXT))
def text(terms: Terms) -> Expression:
    """Some text, display or type of identifier begins with a value, as in a plain string search."""
    return Or(
        tuple(
            Text(atom + TEXT, normal(unescape(value)))
            for value in terms.values
            for atom in terms.atoms(_WITH_TEXT)
        )
    )
