"""Lines of references: what is within what, versions of canonicals (R4 search.html#recursive, #versions)."""

from fhir_server.search.beside_values import BELOW
from fhir_server.search.expression import Expression, Or, Reference
from fhir_server.search.knowledge import PARTS, Knowledge, Way
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import unescape
from resources.outcome import Invalid, NotSupported

_CANONICAL = frozenset({"canonical"})


def related(parameter: Parameter, value: str, way: Way, knowledge: Knowledge) -> Expression:
    """Give the references to a resource and to all above or below it, or to versions of a canonical.

    Raises NotSupported for a parameter whose targets are in no strict hierarchy and are no canonicals.
    """
    text = unescape(value)
    if "://" in text or text.startswith("urn:"):
        return _canonical(parameter, text, way)
    types = [type_ for type_ in PARTS if type_ in parameter.targets]
    if not types:
        raise NotSupported(
            f"{parameter.code} takes :{way} for no resource here: only for "
            f"{', '.join(PARTS)}, and :below for canonicals"
        )
    kind, slash, id_ = text.rpartition("/")
    if slash and kind not in types:
        raise Invalid(f":{way} takes an id or Type/id of {', '.join(types)}", issue="value")
    return Or(
        tuple(
            Reference(atom.name, type_, one)
            for type_ in ([kind] if slash else types)
            for one in knowledge.line((type_, id_, way))
            for atom in parameter.atoms
        )
    )


def _canonical(parameter: Parameter, url: str, way: Way) -> Expression:
    """Give the references to any version of a canonical, or to those whose version begins so."""
    held = zip(parameter.atoms, parameter.datatypes, strict=True)
    atoms = [atom.name for atom, datatypes in held if not _CANONICAL.isdisjoint(datatypes)]
    if not atoms or way == "above":
        raise NotSupported(f"{parameter.code} takes no :{way} with a URL")
    suffix = BELOW if "|" in url else ""
    return Or(tuple(Reference(atom + suffix, "", "", url) for atom in atoms))
