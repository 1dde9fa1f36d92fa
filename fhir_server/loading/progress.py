"""Where earlier loads of the same files into the same place stopped, in a file that several loads share."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from fhir_server.durable import sync_folder


class Progress:
    """How far files were loaded into one target, the id of a store or the base of a server; 0 for another.

    A file that is missing, empty or damaged knows of nothing. Each call of several at once is alone.
    """

    def __init__(self, file: Path, target: str) -> None:
        self._file = file
        self._target = target

    def done(self, mark: str) -> int:
        """Give how many places of a file are behind; 0 where the file has changed since."""
        return self._read().get(self._name(mark), 0)

    def advance(self, mark: str, place: int) -> None:
        """Keep, durably on return, that all places up to this one are behind; never fewer than before."""
        name = self._name(mark)
        self._change(lambda known: {**known, name: max(place, known.get(name, 0))})

    def forget(self, marks: Iterable[str]) -> None:
        """Have nothing of some files behind, in this target alone."""
        gone = {self._name(mark) for mark in marks}
        self._change(lambda known: {name: at for name, at in known.items() if name not in gone})

    def _name(self, mark: str) -> str:
        return hashlib.sha256(f"{self._target}\n{mark}".encode()).hexdigest()

    def _read(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return {}

    def _change(self, change: Callable[[dict[str, int]], dict[str, int]]) -> None:
        """Write what a change makes of the file as it is now, others having to wait meanwhile."""
        folder = self._file.parent
        with _alone(folder):
            known = self._read()
            if (changed := change(known)) == known:
                return
            part = self._file.with_name(f"{self._file.name}.part")
            with part.open("wb") as file:
                file.write(msgspec.json.encode(changed))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
            sync_folder(folder)


def mark_of(path: Path) -> str:
    """Give a name of a file as it is now: its place, size and time of change."""
    state = path.stat()
    text = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process in a folder that changes such a file; the lock is the folder's own."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
