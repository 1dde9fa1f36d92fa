"""String modifier :contains: https://hl7.org/fhir/R4/search.html#string"""

from fhir_server.search.expression import Expression, Or, Text
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import unescape
from resources.datatypes import normal


@modifier("contains", on="string")
def contains(terms: Terms) -> Expression:
    """Some string contains a value anywhere, without regard to case and accents."""
    return Or(
        tuple(
            Text(atom.name, normal(unescape(value)), "contains")
            for value in terms.values
            for atom in terms.parameter.atoms
        )
    )
