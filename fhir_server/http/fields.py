"""The header fields of a request as text, lines of one name joined (RFC 9110 5.2).

Octets beyond ASCII are ISO 8859-1, but for a condition, which is a query of a URL: there they are UTF-8 where
they are right UTF-8, as many clients send them.
"""

import contextlib
from collections.abc import Sequence

_COOKIE = "cookie"
_CONDITION = "if-none-exist"


def fields(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give the fields by their lower-case names; what came in several lines is one list, in order."""
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(found) < len(raw):
        found = _joined(raw)
    if _CONDITION in found:
        with contextlib.suppress(UnicodeDecodeError):
            found[_CONDITION] = found[_CONDITION].encode("latin-1").decode()
    return found


def _joined(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        between = "; " if name == _COOKIE else ", "
        found[name] = f"{found[name]}{between}{value}" if name in found else value
    return found
