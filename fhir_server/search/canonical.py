"""A canonical url with its version, as the url and the version of a resource (FHIR R4 search.html#uri)."""

from typing import Final

from fhir_server.search import lower
from fhir_server.search.expression import And, Expression, Or
from fhir_server.search.parameters import Parameter, SearchParameters
from fhir_server.search.parse import split

_URL: Final = "url"
_VERSION: Final = "version"
_PARTS: Final = 2


def plain(parameters: SearchParameters, parameter: Parameter, value: str) -> Expression:
    """Give the meaning of one value; of `url|version` on a resource that has both, that it has both."""
    if parameter.type != "uri" or parameter.code != _URL or "|" not in value:
        return lower.plain(parameter, value)
    version = parameters.get(parameter.base, _VERSION)
    parts = split(value, "|")
    if version is None or len(parts) != _PARTS or not all(parts):
        return lower.plain(parameter, value)
    both = And((lower.plain(parameter, parts[0]), lower.plain(version, parts[1])))
    return Or((lower.plain(parameter, value), both))
