"""Real mongod processes for the tests: replica sets of one or three members, on loopback and free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
import pytest
from pymongo.errors import PyMongoError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".servers" / "mongod"
GIVEN = "MONGO_TEST_URI"
_START_S = 60.0
_KEPT = ("resources", "history", "changes", "documents", "contents", "pieces", "uploads")


def given() -> bool:
    """Tell whether the tests use a server that is not their own."""
    return bool(os.environ.get(GIVEN))


def program() -> Path:
    """Give the mongod to start; fails the test where there is none."""
    if not PROGRAM.is_file():
        pytest.fail(f"no mongod in .servers: run `make servers`, or set {GIVEN}")
    return PROGRAM


@contextmanager
def replica_set(folder: Path, members: int) -> Iterator[str]:
    """Give the URL of a replica set: the one that MONGO_TEST_URI names, else one of so many members."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    with ReplicaSet(folder, members) as made:
        # without the driver's second monitor: a client that is closed while it connects leaves a socket open
        yield f"{made.url}&serverMonitoringMode=poll"


class Database:
    """One database that tests use one after another, emptied rather than made anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = pymongo.MongoClient[dict[str, Any]](url)
        self._database = self._client.get_default_database()

    def emptied(self) -> str:
        """Remove what it holds, but not its indexes; gives its URL."""
        for name in _KEPT:
            self._database[name].delete_many({})
        self._database["head"].update_one({}, {"$set": {"position": 0, "updated": 0}})
        return self.url

    def drop(self) -> None:
        """Remove it."""
        self._client.drop_database(self._database)
        self._client.close()


@contextmanager
def lone_server(folder: Path) -> Iterator[str]:
    """Give the URL of a mongod that is no member of a replica set."""
    made = ReplicaSet(folder, 1, replicated=False)
    made.start(made.ports[0])
    try:
        made.wait_for(made.ports[0])
        yield f"mongodb://127.0.0.1:{made.ports[0]}/"
    finally:
        made.__exit__(None, None, None)


class ReplicaSet:
    """A replica set of so many members; all of them are killed at the end."""

    def __init__(self, folder: Path, members: int, *, replicated: bool = True) -> None:
        self._folder = folder
        self._options = ["--replSet", "tests"] if replicated else []
        self.ports = _free_ports(members)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for port in self.ports:
            self.start(port)
        self._initiate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    @property
    def url(self) -> str:
        """Give the URL of the set, without a database."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"mongodb://{hosts}/?replicaSet=tests"

    def start(self, port: int) -> None:
        """Start the member of a port, over what it had if it ran before."""
        folder = self._folder / str(port)
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(program()), "--dbpath", str(folder), "--port", str(port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "128", "--quiet"]
        for parameter in ("diagnosticDataCollectionEnabled=false", "enableTestCommands=1"):
            command += ["--setParameter", parameter]
        with (folder / "log").open("ab") as log:
            self.processes[port] = subprocess.Popen(
                [*command, *self._options], stdout=log, stderr=log
            )

    def kill_primary(self) -> int:
        """Kill the primary with SIGKILL and give its port."""
        port = self.primary()
        self.processes[port].send_signal(signal.SIGKILL)
        self.processes[port].wait()
        return port

    def primary(self) -> int:
        """Give the port of the member that is primary, waiting until there is one."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for port in self.ports:
                if self.processes[port].poll() is None and _asked(port, "hello").get(
                    "isWritablePrimary"
                ):
                    return port
            time.sleep(0.02)
        raise AssertionError("no member became primary")

    def _initiate(self) -> None:
        for port in self.ports:
            self.wait_for(port)
        hosts = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.ports)]
        settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
        wanted = {"_id": "tests", "members": hosts, "settings": settings}
        _asked(self.ports[0], "replSetInitiate", wanted)
        self.primary()

    def wait_for(self, port: int) -> None:
        """Wait until a member answers."""
        end = time.monotonic() + _START_S
        while not _asked(port, "ping"):
            if self.processes[port].poll() is not None or time.monotonic() > end:
                raise AssertionError(
                    f"mongod did not start: see {self._folder / str(port) / 'log'}"
                )
            time.sleep(0.02)


def _asked(port: int, command: str, argument: Any = 1) -> dict[str, Any]:
    """Give a member's answer to a command, empty while it gives none."""
    url = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=1000"
    try:
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            return client.admin.command(command, argument)
    except PyMongoError:
        return {}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
