"""Supervised children: listeners and workers that are restarted when they die, and say how they are."""

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()

FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 30.0


class Taken(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Be the only process that holds a lock, a file, as long as the context lasts; raises Taken, OSError.

    The kernel lets go of it when the process ends, however that happens.
    """
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken from None
        yield
    finally:
        os.close(held)


def server_name(folder: Path) -> str:
    """Give the name of the one server of a data folder, the same each time that it is started."""
    return f"{socket.gethostname()}:{folder.resolve()}"


class Child:
    """One child: `run` works until cancelled; when it ends or fails it is started again, ever later.

    A child that worked for longer than the longest wait is started again as soon as at first.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        *,
        first_wait: float = FIRST_WAIT_S,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._run = run
        self._first_wait = first_wait
        self._up = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to supervise."""
        self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """End the child and wait until it has ended; one that was never started is left alone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def state(self) -> str:
        """Give "ok", or that the child is being restarted."""
        return "ok" if self._up else f"down, restarted {self.restarts} time(s)"

    async def _supervise(self) -> None:
        wait = self._first_wait
        while True:
            begun = time.monotonic()
            await self._once()
            if time.monotonic() - begun > _LONGEST_WAIT_S:
                wait = self._first_wait
            self.restarts += 1
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _once(self) -> None:
        """Run the child until it ends, for whatever reason, and tell it."""
        running = asyncio.create_task(self._run(), name=self.name)
        self._up = True
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise
        finally:
            self._up = False
        fault = None if running.cancelled() else running.exception()
        log.warning("child ended", child=self.name, exc_info=fault)
