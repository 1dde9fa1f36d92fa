"""Where earlier loads of the same files into the same place stopped, in a file that several loads share."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from fhir_server.durable import sync_folder

_KEPT: Final = 50
_MOST: Final = 300
"""How much of one reason is kept, in characters."""

Reason = tuple[int, str]
"""Where in a file something was refused, and why."""


class Behind(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a file is: every place up to `place`, in which so much was refused, on so many `lines`.

    Of what was refused the first few are kept with their reasons.
    """

    place: int = 0
    refused: int = 0
    lines: int = 0
    first: tuple[Reason, ...] = ()

    def further(self, place: int, refused: Sequence[Reason]) -> "Behind":
        """Give how far it is with the places up to one behind too, and what was refused of them."""
        first = [(at, why[:_MOST]) for at, why in refused[: _KEPT - len(self.first)]]
        return Behind(
            place,
            self.refused + len(refused),
            self.lines + len({at for at, _ in refused}),
            (*self.first, *first),
        )


_Known = dict[str, int | Behind]
"""By file and target; a number is what earlier versions kept, the place alone."""


class Progress:
    """How far files were loaded into one target, the id of a store or the base of a server; 0 for another.

    A file that is missing, empty or damaged knows of nothing. Each call of several at once is alone.
    """

    def __init__(self, file: Path, target: str) -> None:
        self._file = file
        self._target = target

    def behind(self, mark: str) -> Behind:
        """Give what of a file is behind; nothing where the file has changed since."""
        return _behind(self._read(), self._name(mark))

    def advance(self, mark: str, place: int, refused: Sequence[Reason] = ()) -> None:
        """Keep, durably on return, that all places up to this one are behind; never fewer than before.

        `refused` is what of the places since the last ones was not stored.
        """
        name = self._name(mark)

        def further(known: _Known) -> _Known:
            behind = _behind(known, name)
            return (
                {**known, name: behind.further(place, refused)} if place > behind.place else known
            )

        self._change(further)

    def forget(self, marks: Iterable[str]) -> None:
        """Have nothing of some files behind, in this target alone."""
        gone = {self._name(mark) for mark in marks}
        self._change(lambda known: {name: at for name, at in known.items() if name not in gone})

    def _name(self, mark: str) -> str:
        return hashlib.sha256(f"{self._target}\n{mark}".encode()).hexdigest()

    def _read(self) -> _Known:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Known)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return {}

    def _change(self, change: Callable[[_Known], _Known]) -> None:
        """Write what a change makes of the file as it is now, others having to wait meanwhile."""
        folder = self._file.parent
        with _alone(folder):
            known = self._read()
            if (changed := change(known)) == known:
                return
            part = self._file.with_name(f"{self._file.name}.part")
            private = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(private, "wb") as file:
                file.write(msgspec.json.encode(changed))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
            sync_folder(folder)


def _behind(known: _Known, name: str) -> Behind:
    found = known.get(name, 0)
    return Behind(found) if isinstance(found, int) else found


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
