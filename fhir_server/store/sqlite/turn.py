"""Whose turn it is to write, among the processes that share a store's file (flock(2)).

SQLite's own waiting sleeps and looks again, ever longer: a busy process then keeps the others out for
hundreds of milliseconds. Here the kernel wakes whoever waits, and lets go of what a dead process held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class Turn:
    """A lock on a file beside the store's, taken for each write transaction; blocks its thread."""

    def __init__(self, store: Path) -> None:
        file = store.with_name(f"{store.name}-turn")
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> None:
        """Wait until no other process writes; where files cannot be locked SQLite does the waiting."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def give(self) -> None:
        """Let others write; nothing happens where the turn was not taken."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which lets others write too."""
        os.close(self._descriptor)
