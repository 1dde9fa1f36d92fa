"""Several processes on one socket: started, restarted when they die, told of each other, drained together.

The process of the command itself answers nothing: it holds the socket and the workers. The first worker
leads: it alone runs the children (jobs, listeners, follower, sweep). docs/adr/0013-several-processes.md.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from fhir_server import channel, listening, logs
from fhir_server.channel import Word
from fhir_server.settings import Settings
from fhir_server.supervision import Child

_PATIENCE_S = 25.0
_LOOK_S = 0.25
COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several processes count together for /metrics."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the processes share: the listening socket, and the folder of their counters."""

    listening: socket.socket
    counters: str


class Worker:
    """One process that answers HTTP; `states` is what it last said of its children."""

    def __init__(self, number: int, order: channel.Order, place: Place) -> None:
        self.name = f"worker {number}"
        self.listening = asyncio.Event()
        self.ended = asyncio.Event()
        self.status = 0
        self.states: dict[str, str] = {}
        self.pid = 0
        self._order = order
        self._place = place
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Start the process and listen to it until it ends; one that is not wanted any more drains."""
        ours, theirs = socket.socketpair()
        numbers = (self._place.listening.fileno(), theirs.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "fhir_server.worker", *map(str, numbers)),
            pass_fds=numbers,
            env={**os.environ, COUNTERS: self._place.counters},
        )
        theirs.close()
        self.pid = process.pid
        try:
            await self._listen(ours)
            self.status = await process.wait()
        finally:
            self.listening.clear()
            await _end(process)
            self.ended.set()

    async def _listen(self, ours: socket.socket) -> None:
        ours.settimeout(0)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            channel.say(self._writer, self._order)
            while (word := await channel.hear(reader, Word)) is not None:
                self.states = dict(word.states)
                self.listening.set()
        finally:
            self._writer.close()
            self._writer = None

    def tell(self, states: dict[str, str]) -> None:
        """Tell the process how all are."""
        if self._writer is not None:
            channel.say(self._writer, Word(states))

    async def began(self) -> bool:
        """Wait until the process answers requests, or has ended before it did; tells which."""
        waits = [asyncio.create_task(one.wait()) for one in (self.listening, self.ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self.listening.is_set()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let a process drain, and end it where it does not."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()


class _Workers:
    """All workers under supervision."""

    def __init__(self, settings: Settings, public_url: str, place: Place) -> None:
        orders = [
            channel.order(settings, public_url, leads=number == 0)
            for number in range(settings.workers)
        ]
        self._place = place
        self.workers = [Worker(n, order, place) for n, order in enumerate(orders, 1)]
        self._children = [Child(worker.name, worker.run) for worker in self.workers]
        self.told = asyncio.Event()

    async def start(self) -> int | None:
        """Start all, the first one first; gives the exit status of one that could not begin."""
        for few in (slice(0, 1), slice(1, None)):
            for child in self._children[few]:
                child.start()
            for worker in self.workers[few]:
                if not await worker.began():
                    return worker.status or 1
        return None

    async def stop(self) -> None:
        """Let all drain at once; no connection is taken once they have stopped to listen.

        The socket stays open as long as any process has it. A connection that came to it then would be
        answered by none, and reset when the last process ends.
        """
        stopping = asyncio.gather(*(child.stop() for child in self._children))
        await asyncio.sleep(0)  # all are cancelled: none is started with the socket any more
        self._place.listening.close()
        await stopping

    async def watch(self) -> None:
        """Tell every worker how all are, whenever that changes or one is new."""
        known: dict[int, dict[str, str]] = {}
        while True:
            states = await self.states()
            for worker in self.workers:
                if worker.listening.is_set() and known.get(worker.pid) != states:
                    worker.tell(states)
                    known[worker.pid] = states
            self.told.set()
            await asyncio.sleep(_LOOK_S)

    async def states(self) -> dict[str, str]:
        """Give the state of each worker, and what the first one said of its children."""
        found = dict(self.workers[0].states)
        for worker, child in zip(self.workers, self._children, strict=True):
            if worker.listening.is_set():
                found[worker.name] = "ok"
            else:
                found[worker.name] = f"down, restarted {child.restarts} time(s)"
        return found


async def serve(settings: Settings) -> int:
    """Serve in several processes until a signal; prints `ready URL` on one line once all answer."""
    logs.configure(settings.log_level)
    signalled = _signalled()
    with (
        listening.bind(settings.host, settings.port) as socket_,
        tempfile.TemporaryDirectory(prefix="hounsfield-") as counters,
    ):
        return await _served(settings, Place(socket_, counters), signalled)


async def _served(settings: Settings, place: Place, signalled: asyncio.Event) -> int:
    public_url = listening.address(settings, place.listening)
    workers = _Workers(settings, public_url, place)
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(signalled.wait()),
        asyncio.create_task(workers.start()),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if signalled.is_set():
            return 0
        if (failed := tasks[1].result()) is not None:
            return int(failed)
        tasks.append(asyncio.create_task(workers.watch()))
        await workers.told.wait()
        listening.ready(public_url)
        await signalled.wait()
        return 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await workers.stop()


def _signalled() -> asyncio.Event:
    """Take SIGTERM and SIGINT from now on; gives what is set by the first."""
    came = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, came.set)
    return came
