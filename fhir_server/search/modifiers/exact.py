"""String modifier :exact: https://hl7.org/fhir/R4/search.html#string"""

from fhir_server.search.expression import Expression, Or, Text
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape


@modifier("exact", on="string")
def exact(terms: Terms) -> Expression:
    """Some string equals a value to the letter, case and accents included."""
    return Or(
        tuple(
            Text(atom.name, unescape(value), "exact")
            for value in terms.values
            for atom in terms.parameter.atoms
        )
    )
