"""Modifier :missing: https://hl7.org/fhir/R4/search.html#modifiers

R4 gives it to all types but composite, on which modifiers are not used, and special.
"""

from fhir_server.search.beside_values import TEXT
from fhir_server.search.datatype_values import IDENTIFIER
from fhir_server.search.expression import And, Expression, Missing, Not
from fhir_server.search.lower import truth
from fhir_server.search.modifier import Terms, modifier


@modifier("missing", on="token reference string date number quantity uri")
def missing(terms: Terms) -> Expression:
    """The resource has no value (true), or has one (false).

    A code that is only text is a value, and so is a reference by its identifier alone.
    """
    parameter = terms.parameter
    atoms = parameter.atoms
    absent: Expression = Missing(atoms[0].kind, tuple(atom.name for atom in atoms))
    if parameter.type == "token" and (texts := tuple(terms.atoms(_WITH_TEXT))):
        absent = And((absent, Missing("text", tuple(name + TEXT for name in texts))))
    elif parameter.type == "reference" and (held := tuple(terms.atoms(_REFERENCE))):
        absent = And((absent, Missing("token", tuple(name + IDENTIFIER for name in held))))
    return absent if truth(terms.values) else Not(absent)


_WITH_TEXT = frozenset({"CodeableConcept", "Coding", "Identifier"})
_REFERENCE = frozenset({"Reference"})
