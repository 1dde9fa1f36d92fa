"""Supervised children: listeners and workers that are restarted when they die, and say how they are."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 30.0


class Child:
    """One child: `run` works until cancelled; when it ends or fails it is started again, ever later."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.restarts = 0
        self._run = run
        self._up = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to supervise."""
        self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """End the child and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def state(self) -> str:
        """Give "ok", or that the child is being restarted."""
        return "ok" if self._up else f"down, restarted {self.restarts} time(s)"

    async def _supervise(self) -> None:
        wait = _FIRST_WAIT
        while True:
            self._up = True
            try:
                await self._run()
                log.warning("child ended", child=self.name)
            except (OSError, RuntimeError, ValueError, EOFError) as fault:
                log.warning("child failed", child=self.name, fault=type(fault).__name__)
            self._up = False
            self.restarts += 1
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
