"""The versions that this process wrote last, for those who follow the feed: they need not ask the server.

What is kept follows on without a gap. Where another process has written between, it begins anew, and
followers read what they lack from the database.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from fhir_server.store.port import Version

_MOST: Final = 800
_MOST_BYTES: Final = 16_000_000
_KEPT_S: Final = 5.0
"""How long a version is given from here: another process may have erased it since."""


class Recent:
    """The last versions in the order of their positions.

    A follower at their end need not ask the database `within` so many seconds: what is written comes here.
    """

    def __init__(self, within: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._within = within
        self._clock = clock
        self._versions: deque[Version] = deque()
        self._bytes = 0
        self._last = -1
        self._at = 0.0

    def add(self, versions: Sequence[Version]) -> None:
        """Take what one transaction has written, once it is durable."""
        for version in versions:
            if version.position != self._last + 1:
                self.forget()
            self._versions.append(version)
            self._bytes += _size(version)
            self._last = version.position
        while len(self._versions) > _MOST or self._bytes > _MOST_BYTES:
            self._bytes -= _size(self._versions.popleft())
        self._at = self._clock()

    def forget(self) -> None:
        """Keep nothing: what was erased must not be given."""
        self._versions.clear()
        self._bytes = 0
        self._last = -1

    def after(self, position: int, limit: int) -> Sequence[Version] | None:
        """Give what follows a position, empty at the newest known; None: the database must be asked."""
        age = self._clock() - self._at
        if position == self._last:
            return () if age < self._within else None
        first = self._last - len(self._versions) + 1
        if age > _KEPT_S or not first <= position + 1 <= self._last:
            return None
        start = position + 1 - first
        return [self._versions[n] for n in range(start, min(start + limit, len(self._versions)))]


def _size(version: Version) -> int:
    return len(version.body or b"")
