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

LONGEST_S = 1800.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl(2)


class ProcessDied(RuntimeError):
    """The process ended in the middle of a run; the run may be tried again, in a new one."""


class InferenceProcess:
    """One process of our own that runs models one after another; started when first needed.

    A run that is cancelled, or takes longer than `longest` seconds, is ended with its process.
    """

    def __init__(self, cache: Path | None = None, *, longest: float = LONGEST_S) -> None:
        self._cache = cache
        self._longest = longest
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def run(self, model_id: str, instances: list[bytes]) -> Result:
        """Run a model on a series' DICOM files; raises what the model raises, or ProcessDied."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._longest):
                    return await self._result(model_id, instances)
            except TimeoutError:
                await self.close()
                raise ProcessDied(f"The model ran for more than {self._longest:g} s") from None
            except asyncio.CancelledError:
                await self.close()
                raise
            except BrokenProcessPool:
                await self.close()
                raise ProcessDied("The process that ran the model ended") from None

    async def _result(self, model_id: str, instances: list[bytes]) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._running(), worker.run_model, model_id, instances, self._cache
        )

    def pids(self) -> list[int]:
        """Give the process ids of the running process, none where none was needed yet."""
        processes = None if self._pool is None else self._pool._processes  # noqa: SLF001 - no public way
        return list(processes or ())

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
                1,
                multiprocessing.get_context("spawn"),
                initializer=_end_with_parent,
                initargs=(os.getpid(),),
            )
        return self._pool


def _end_with_parent(parent: int) -> None:
    """Have the kernel end this process when the server ends, however that happens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the server ended before the kernel was told
