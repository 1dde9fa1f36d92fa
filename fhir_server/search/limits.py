"""How much one search may ask for: declared here, refused as too costly beyond (docs/search-values.md).

FHIR R4 search.html leaves it to the server. The limits hold for conditions of a write and for entries of a
batch as well, which are read in the same place.
"""

from collections.abc import Sequence
from typing import Final

from resources.outcome import TooCostly

MOST_CRITERIA: Final = 500
"""The most different criteria that a search may ask for together."""
MOST_VALUES: Final = 20_000
"""The most values in all criteria of a search."""
MOST_MEANINGS: Final = 200_000
"""The most nodes that the values of a parameter may come to, by its elements and types."""
MOST_RULES: Final = 20
"""The most different rules of _sort."""
MOST_INCLUSIONS: Final = 100
"""The most different _include and _revinclude."""
AT_ONCE: Final = 500
"""So many values are lowered, compiled and looked for on the event loop at most."""


def bounded(count: int, most: int, what: str) -> None:
    """Refuse more than is allowed of something; raises TooCostly."""
    if count > most:
        raise TooCostly(f"The search has more than {most} {what}")


def fanned(code: str, values: Sequence[str], atoms: int, types: int) -> None:
    """Refuse values of a parameter with so many atoms, of so many types each, that come to too many nodes.

    A reference with its type is of that one. Raises TooCostly.
    """
    if len(values) * max(1, atoms) * max(1, types) <= MOST_MEANINGS:
        return
    bare = sum("/" not in value for value in values) if types else 0
    if (len(values) - bare + bare * types) * max(1, atoms) > MOST_MEANINGS:
        raise TooCostly(f"The values of {code} may mean too much: name types, as in Patient/id")
