"""Identifiers nobody can foresee: UUIDs (RFC 9562, version 4), tokens of 128 random bits; and callers' own.

The kernel's random bytes are drawn for many identifiers at once, as a call for each costs more than making
one. Each piece is used once: taking one is a single step for threads, and a process that was forked throws
away what its parent had drawn.
"""

import os
from collections import deque

_SIZE = 16
_DRAWN = 256
_VARIANTS = "89ab"
_VISIBLE = frozenset(map(chr, range(0x21, 0x7F)))
_LONGEST = 128


class Identifiers:
    """Draws random bytes for a process and its threads."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._process = 0

    def hexadecimal(self) -> str:
        """Give 128 random bits as 32 hexadecimal digits."""
        return self._piece().hex()

    def uuid(self) -> str:
        """Give a random UUID in its usual form."""
        digits = self._piece().hex()
        variant = _VARIANTS[int(digits[16], 16) & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
        )

    def _piece(self) -> bytes:
        if self._process != os.getpid():
            self._pieces.clear()
            self._process = os.getpid()
        while True:
            try:
                return self._pieces.popleft()
            except IndexError:
                drawn = os.urandom(_SIZE * _DRAWN)
                self._pieces.extend(drawn[at : at + _SIZE] for at in range(0, len(drawn), _SIZE))


def harmless(given: str) -> bool:
    """Tell whether a caller's identifier can be told again as it is: up to 128 visible ASCII characters."""
    return len(given) <= _LONGEST and _VISIBLE.issuperset(given)


_OWN = Identifiers()
hexadecimal = _OWN.hexadecimal
uuid = _OWN.uuid
