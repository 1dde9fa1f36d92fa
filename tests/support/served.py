"""A real server in a process of its own, over a folder that may outlive it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """`hounsfield serve` on free ports; `kill` is kill -9 of the whole process group."""

    def __init__(self, data: Path, *arguments: str, auth: str = "open") -> None:
        command = [sys.executable, "-m", "fhir_server", "serve", "--auth", auth, "--port", "0"]
        command += ["--mllp-port", "0", "--dimse-port", "off", "--data", str(data), *arguments]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server runs
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self._log.seek(0)
            told = self._log.read().decode()[-2000:]
            self.process.kill()
            self._closed()
            raise AssertionError(told)
        self.base = line.split()[1]
        self.data = data
        self.port = json.loads((data / "ports.json").read_bytes())["http"]

    def kill(self) -> None:
        """End the server and all its children at once."""
        os.killpg(self.process.pid, 9)
        self._closed()

    def stop(self) -> int:
        """Ask the server to end, and give its exit status."""
        self.process.terminate()
        status = self.process.wait(30)
        self._closed()
        return status

    def _closed(self) -> None:
        self.process.wait(30)
        self.process.stdout.close()
        self._log.close()
