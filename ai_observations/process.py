"""The process that models run in: a crash or an exhausted GPU there never takes the server down."""

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ai_observations import worker
from ai_observations.result import Result

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl(2)


class ProcessDied(RuntimeError):
    """The process ended in the middle of a run; the run may be tried again, in a new one."""


class InferenceProcess:
    """One process of our own that runs models one after another; started when first needed."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, model_id: str, instances: list[bytes]) -> Result:
        """Run a model on a series' DICOM files; raises what the model raises, or ProcessDied."""
        loop = asyncio.get_running_loop()
        pool = self._running()
        try:
            return await loop.run_in_executor(
                pool, worker.run_model, model_id, instances, self._cache
            )
        except BrokenProcessPool:
            self._pool = None
            raise ProcessDied("The process that ran the model ended") from None

    async def state(self) -> str:
        """Give "ok": it is started on demand, and anew after it died."""
        return "ok"

    def pids(self) -> list[int]:
        """Give the process ids of the running process, none where none was needed yet."""
        return [] if self._pool is None else list(self._pool._processes)  # noqa: SLF001 - no public way

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._pool is None:
            return
        pids, pool = self.pids(), self._pool
        self._pool = None
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=_end_with_parent
            )
        return self._pool


def _end_with_parent() -> None:
    """Have the kernel end this process when the server ends, however that happens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
