"""Modifier :missing, on every type: https://hl7.org/fhir/R4/search.html#modifiers"""

from fhir_server.search.expression import Expression, Missing, Not
from fhir_server.search.modifier import Terms, modifier
from resources.outcome import Invalid


@modifier("missing", on="token reference string date number quantity uri")
def missing(terms: Terms) -> Expression:
    """The resource has no value (true), or has one (false)."""
    if len(terms.values) != 1 or terms.values[0] not in {"true", "false"}:
        raise Invalid(":missing takes true or false", issue="value")
    atoms = terms.parameter.atoms
    absent = Missing(atoms[0].kind, tuple(atom.name for atom in atoms))
    return absent if terms.values[0] == "true" else Not(absent)
