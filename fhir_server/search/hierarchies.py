"""What :above and :below share: the type of the parameter names the hierarchy (search.html#modifiers)."""

from collections.abc import Callable

from fhir_server.search import codes, lines
from fhir_server.search.expression import Expression, Or
from fhir_server.search.knowledge import Way
from fhir_server.search.modifier import Terms
from fhir_server.search.parse import unescape

Paths = Callable[[str, str], Expression]
"""Gives the nodes of an atom's urls, by the url that is asked for."""


def related(terms: Terms, way: Way, paths: Paths) -> Expression:
    """Give the nodes of all that is above or below any of the values: codes, resources, or paths of urls."""
    return Or(tuple(_related(terms, value, way, paths) for value in terms.values))


def _related(terms: Terms, value: str, way: Way, paths: Paths) -> Expression:
    match terms.parameter.type:
        case "token":
            return codes.related(terms.parameter, value, way, terms.knowledge)
        case "reference":
            return lines.related(terms.parameter, value, way, terms.knowledge)
        case _:
            url = codes.url(unescape(value), way)
            return Or(tuple(paths(atom.name, url) for atom in terms.parameter.atoms))
