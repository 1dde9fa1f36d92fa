"""The header fields of a request as text, lines of one name joined (RFC 9110 5.2)."""

from collections.abc import Sequence

_COOKIE = "cookie"


def fields(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give the fields by their lower-case names; what came in several lines is one list, in order."""
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return found if len(found) == len(raw) else _joined(raw)


def _joined(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        between = "; " if name == _COOKIE else ", "
        found[name] = f"{found[name]}{between}{value}" if name in found else value
    return found
