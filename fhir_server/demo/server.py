"""The demo's own server: `hounsfield serve` on free ports of loopback, with a data folder to throw away."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from fhir_server.demo.day import Server
from fhir_server.settings import Settings

LOOPBACK = "127.0.0.1"
_READY = "ready "
_START_S = 60.0
_STOP_S = 30.0
_KEPT = ("HOUNSFIELD_CACHE", "HOUNSFIELD_TORCH_THREADS")
_TAIL = 4000


class NoServer(Exception):
    """There is no server to play on; the text says what is missing."""


def mllp_port(data: Path) -> int:
    """Give the MLLP port that the server of a data folder has taken; raises NoServer."""
    try:
        ports = msgspec.json.decode((data / "ports.json").read_bytes(), type=dict[str, int | None])
    except (OSError, msgspec.DecodeError):
        raise NoServer(
            f"{data / 'ports.json'} does not tell a port: is this a server's --data?"
        ) from None
    port = ports.get("mllp")
    if port is None:
        raise NoServer("the server does not listen for HL7 v2: start it without --mllp-port off")
    return port


@asynccontextmanager
async def throw_away(folder: Path) -> AsyncIterator[Server]:
    """Start a server on a folder and stop it at the end; raises NoServer with what it wrote last."""
    data, log = folder / "data", folder / "server.log"
    settings = Settings(data=data)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *_command(data), stdout=PIPE, stderr=errors, cwd=folder, env=_environment(os.environ)
        )
    try:
        base = await _ready(process)
        if base is None:
            raise NoServer(f"the server did not become ready:\n{tail(folder)}")
        passed = asyncio.create_task(_drained(process))
        try:
            yield Server(base, (LOOPBACK, mllp_port(data)), settings)
        finally:
            passed.cancel()
    finally:
        await _stopped(process)


def tail(folder: Path) -> str:
    """Give the end of what the server of a folder has logged."""
    log = folder / "server.log"
    return log.read_bytes()[-_TAIL:].decode("utf-8", "replace") if log.is_file() else ""


def _command(data: Path) -> list[str]:
    flags = ("--host", LOOPBACK, "--port", "0", "--mllp-port", "0", "--dimse-port", "off")
    place = ("--data", str(data), "--auth", "smart", "--log-level", "warning")
    return [sys.executable, "-m", "fhir_server", "serve", *flags, *place]


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Give the environment without the settings of a server that is not this one."""
    return {
        name: value
        for name, value in given.items()
        if not name.startswith("HOUNSFIELD_") or name in _KEPT
    }


async def _ready(process: Process) -> str | None:
    """Give the base URL of the line that says ready, None if the server ended or took too long."""
    try:
        async with asyncio.timeout(_START_S):
            while line := await _line(process):
                if line.startswith(_READY):
                    return line.removeprefix(_READY).strip()
    except TimeoutError:
        return None
    return None


async def _line(process: Process) -> str:
    if process.stdout is None:
        return ""
    return (await process.stdout.readline()).decode("utf-8", "replace")


async def _drained(process: Process) -> None:
    """Read on, so that the server's pipe never fills."""
    while await _line(process):
        continue


async def _stopped(process: Process) -> None:
    """Let the server drain, and kill it if it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
