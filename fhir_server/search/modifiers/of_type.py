"""Token modifier :of-type: https://hl7.org/fhir/R4/search.html#token"""

from fhir_server.search.beside_values import OF_TYPE, typed
from fhir_server.search.expression import Expression, Or, Token
from fhir_server.search.modifier import Terms, modifier
from fhir_server.search.parse import split, unescape
from resources.outcome import Invalid

_PARTS = 3
_IDENTIFIER = frozenset({"Identifier"})


@modifier("of-type", on="token", datatypes="Identifier")
def of_type(terms: Terms) -> Expression:
    """Some identifier has the value and a type with the system and code."""
    return Or(
        tuple(
            Token(atom + OF_TYPE, system, typed(code, number))
            for system, code, number in map(_parts, terms.values)
            for atom in terms.atoms(_IDENTIFIER)
        )
    )


def _parts(value: str) -> tuple[str, str, str]:
    parts = [unescape(part) for part in split(value, "|")]
    if len(parts) != _PARTS or not all(parts):
        raise Invalid(":of-type takes system|code|value, all three of them", issue="value")
    return parts[0], parts[1], parts[2]
