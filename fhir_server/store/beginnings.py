"""Where the texts that begin alike end, for stores that compare texts by their code points."""

from typing import Final

_LAST: Final = 0x10FFFF
_SURROGATES: Final = (0xD800, 0xE000)


def successor(start: str) -> str | None:
    """Give the least text above all that begin with `start`; None if there is none."""
    kept = start.rstrip(chr(_LAST))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if following == _SURROGATES[0]:
        following = _SURROGATES[1]
    return kept[:-1] + chr(following)
