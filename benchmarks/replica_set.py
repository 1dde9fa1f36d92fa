"""A mongod under measurement: a replica set of one over a throw-away folder, on a free port of loopback."""

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pymongo
from pymongo.errors import PyMongoError

PROGRAM = Path(__file__).resolve().parents[1] / ".servers" / "mongod"
_OPTIONS = "--bind_ip 127.0.0.1 --nounixsocket --replSet bench --oplogSize 512 --quiet"
_START_S = 60.0


class ReplicaSet:
    """`mongod` as a child process; `under` is a command that it is run under, `gigabytes` its cache."""

    def __init__(self, folder: Path, *, gigabytes: float = 1.0, under: Sequence[str] = ()) -> None:
        self._folder = folder
        self._under = under
        self._cache = f"{gigabytes}"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port: int = taken.getsockname()[1]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        command = [*self._under, str(PROGRAM), "--dbpath", str(self._folder)]
        command += ["--port", f"{self._port}", "--wiredTigerCacheSizeGB", self._cache]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *_OPTIONS.split()], stdout=log, stderr=log)
        self._asked("ping")
        host = f"127.0.0.1:{self._port}"
        self._asked("replSetInitiate", {"_id": "bench", "members": [{"_id": 0, "host": host}]})
        while not self._asked("hello")["isWritablePrimary"]:
            time.sleep(0.05)
        started = psutil.Process(self._process.pid)
        self._mongod = started.children()[0] if self._under else started
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mongod.kill()
        self._process.wait(30)

    @property
    def url(self) -> str:
        """Give the URL of its database."""
        return f"mongodb://127.0.0.1:{self._port}/bench?replicaSet=bench"

    @property
    def pid(self) -> int:
        """Give the process whose CPU time counts."""
        return int(self._mongod.pid)

    def _asked(self, command: str, argument: Any = 1) -> dict[str, Any]:
        url = (
            f"mongodb://127.0.0.1:{self._port}/?directConnection=true&serverSelectionTimeoutMS=1000"
        )
        end = time.monotonic() + _START_S
        while True:
            try:
                with pymongo.MongoClient[dict[str, Any]](url) as client:
                    return client.admin.command(command, argument)
            except PyMongoError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
