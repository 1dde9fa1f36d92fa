"""_list: what a List refers to: https://hl7.org/fhir/R4/search.html#list"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.search.expression import And, Expression, Ids, LinkedFrom, Or
from fhir_server.search.parameters import SearchParameters
from resources.outcome import Invalid, NotSupported

PARAMETER: Final = "_list"
_LIST: Final = "List"
_ITEM: Final = "item"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


def lower(
    values: Sequence[str], parameters: SearchParameters, allowed: Callable[[str], Expression]
) -> Expression:
    """Give what the entries of one of the Lists refer to; a List out of the caller's reach has none.

    `allowed` gives the caller's access to a type. Raises NotSupported for a functional list.
    """
    item = parameters.get(_LIST, _ITEM)
    ids = tuple(_id(value) for value in values)
    where = And((Ids(ids), allowed(_LIST)))
    return Or(tuple(LinkedFrom(_LIST, atom.name, where) for atom in (item.atoms if item else ())))


def _id(value: str) -> str:
    if value.startswith("$"):
        raise NotSupported("Lists by their function ($current-…) are not offered, only List ids")
    found = value.removeprefix(f"{_LIST}/")
    if not _ID.fullmatch(found):
        raise Invalid("_list takes the id of a List", issue="value")
    return found
