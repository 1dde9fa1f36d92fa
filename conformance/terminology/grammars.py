"""Code systems whose codes are sentences of a grammar, so that they are told and never listed.

UCUM (R4 ucum.html), BCP 47 languages and BCP 13 media types (R4 terminologies-systems.html).
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from resources import ucum

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|\d{3}))?(-[A-Za-z0-9]{1,8})*")
_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+*-]+(\s*;\s*[^;=\s]+=[^;]+)*")


def _unit(code: str) -> bool | None:
    """Tell whether a code is UCUM; None for one with units that are not known here."""
    try:
        ucum.parse(code)
    except ucum.UnknownUnit:
        return None
    return True


GRAMMARS: Mapping[str, Callable[[str], bool | None]] = MappingProxyType(
    {
        "http://unitsofmeasure.org": _unit,
        "urn:ietf:bcp:47": lambda code: _LANGUAGE.fullmatch(code) is not None,
        "urn:ietf:bcp:13": lambda code: _MEDIA.fullmatch(code) is not None,
    }
)
"""By system, what tells whether a text is one of its codes; None where that is not known."""
