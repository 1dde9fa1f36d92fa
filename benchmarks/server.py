"""A server under measurement: started on a free port over a throw-away folder, its CPU time read."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil


class Server:
    """`hounsfield serve` as a child process, open and without MLLP unless asked for.

    `store` is the URL of another store than the embedded one, and `database` the process that keeps it, whose
    CPU time and memory count too.
    """

    def __init__(
        self,
        data: Path,
        *,
        auth: Literal["smart", "open"] = "open",
        mllp: bool = False,
        workers: int = 1,
        store: str | None = None,
        database: int | None = None,
    ) -> None:
        self.data = data
        self.mllp_port = 0
        self._options = ["--auth", auth, "--mllp-port", "0" if mllp else "off"]
        self._options += ["--workers", str(workers)]
        self._options += ["--store", store] if store else []
        self._database = [psutil.Process(database)] if database else []

    def __enter__(self) -> Self:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "fhir_server", "serve", "--port", "0", *self._options]
        command += ["--dimse-port", "off", "--data", str(self.data)]
        log = (self.data.parent / "server.log").open("ab")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        if self._process.stdout is None:
            raise RuntimeError("the server has no standard output")
        line = self._process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError("the server did not start")
        self.ready_seconds = time.perf_counter() - begun
        self.port = int(line.split(":")[2].partition("/")[0])
        self.mllp_port = json.loads((self.data / "ports.json").read_text())["mllp"] or 0
        self._measured = psutil.Process(self._process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    def cpu_seconds(self) -> float:
        """Give the CPU time that the server's processes have used, in seconds."""
        times = [one.cpu_times() for one in self._processes()]
        return float(sum(spent.user + spent.system for spent in times))

    def resident_mb(self) -> float:
        """Give the resident memory of the server's processes in MB."""
        return float(sum(one.memory_info().rss for one in self._processes())) / 1e6

    def _processes(self) -> list[psutil.Process]:
        return [self._measured, *self._measured.children(recursive=True), *self._database]
