"""Codes that a value set or a hierarchy names, as nodes; the paths of a url (FHIR R4 search.html#token)."""

from fhir_server.search.beside_values import BASE, media_base
from fhir_server.search.expression import Expression, Or, Token
from fhir_server.search.knowledge import Codes, Knowledge, Way
from fhir_server.search.lower import token_of
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import unescape
from resources.outcome import Invalid

_CODE = frozenset({"code"})


def in_value_set(parameter: Parameter, value_set: str, knowledge: Knowledge) -> Expression:
    """Give the nodes of every code of a value set: its url, url|version or ValueSet/id."""
    return _any(parameter, knowledge.members(value_set))


def related(parameter: Parameter, value: str, way: Way, knowledge: Knowledge) -> Expression:
    """Give the nodes of a code system|code and of all that are above or below it."""
    if way == "below" and "|" not in value and "/" in value and _is_code(parameter):
        return _media(parameter, unescape(value))
    asked = token_of("", value)
    if not asked.system or asked.code is None:
        raise Invalid(f":{way} takes system|code", issue="value")
    return _any(parameter, knowledge.concepts(asked.system, asked.code, way))


def _any(parameter: Parameter, codes: Codes) -> Expression:
    """Give a token for each code; an element of type code whose system is not known has it without one."""
    found: list[Expression] = []
    for atom, datatypes in zip(parameter.atoms, parameter.datatypes, strict=True):
        found.extend(Token(atom.name, system, code) for system, code in codes)
        if "code" in datatypes:
            found.extend(Token(atom.name, "", code) for _, code in codes)
    return Or(tuple(found))


def _is_code(parameter: Parameter) -> bool:
    return all(datatypes == _CODE for datatypes in parameter.datatypes)


def _media(parameter: Parameter, value: str) -> Expression:
    """Give the nodes of a media type with any parameters (search.html#mimetype)."""
    wanted = media_base(value)
    return Or(tuple(Token(atom.name + BASE, "", wanted) for atom in parameter.atoms))


def url(value: str, way: Way) -> str:
    """Give a url whose path can be gone up or down; raises Invalid for an urn."""
    scheme, separator, _ = value.partition("://")
    if not separator or not scheme.isalnum():
        raise Invalid(f":{way} on a uri takes a URL, not a URN", issue="value")
    return value


def starts(value: str) -> tuple[str, ...]:
    """Give a url and every url above it, with and without a slash at the end."""
    found = {value: None}
    scheme, _, rest = value.partition("://")
    steps = rest.rstrip("/").split("/")
    for count in range(len(steps), 0, -1):
        start = f"{scheme}://{'/'.join(steps[:count])}"
        found[start] = found[f"{start}/"] = None
    if not value.endswith("/"):
        del found[f"{value}/"]
    return tuple(found)
