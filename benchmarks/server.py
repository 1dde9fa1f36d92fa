"""A server under measurement: started on a free port over a throw-away folder, its CPU time read."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil

_SETTLED_S = 180.0
_LOOK_S = 2.0
_IDLE = 0.025
"""A server, or its database, that uses less of a processor than this is at rest."""


class Server:
    """`hounsfield serve` as a child process, open and without MLLP unless asked for.

    `store` is the URL of another store than the embedded one, and `database` the process that keeps it, whose
    CPU time and memory count too.
    """

    under: Sequence[str] = ()
    """A command that the server is run under, set before it is entered."""

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
        command = [
            *self.under,
            sys.executable,
            "-m",
            "fhir_server",
            "serve",
            "--port",
            "0",
            *self._options,
        ]
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
        served = self._measured.children()[0] if self.under else self._measured
        served.terminate()
        self._process.wait(30)

    def cpu_seconds(self) -> float:
        """Give the CPU time that the server's processes have used, in seconds."""
        times = [one.cpu_times() for one in self._processes()]
        return float(sum(spent.user + spent.system for spent in times))

    def settle(self) -> float:
        """Wait until nothing is left to do, AuditEvents told too; gives the CPU seconds used until then."""
        end = time.monotonic() + _SETTLED_S
        before = self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(_LOOK_S)
            spent = self.cpu_seconds()
            if spent - before < _IDLE * _LOOK_S:
                return spent
            before = spent
        raise RuntimeError("the server does not come to rest")

    def waited_seconds(self) -> float:
        """Give how long the server's event loop was ready to run and had no processor (Linux; else 0)."""
        told = Path(f"/proc/{self._measured.pid}/schedstat")
        return int(told.read_text().split()[1]) / 1e9 if told.exists() else 0.0

    def resident_mb(self) -> float:
        """Give the resident memory of the server's processes in MB."""
        return float(sum(one.memory_info().rss for one in self._processes())) / 1e6

    def _processes(self) -> list[psutil.Process]:
        return [self._measured, *self._measured.children(recursive=True), *self._database]
