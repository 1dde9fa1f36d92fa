"""One of several processes that answer HTTP on one socket; the first of them also runs the children.

It is started by `processes.py` with two open descriptors: the listening socket, and the channel by which
it is given its orders and told how the others are. Where the channel ends it drains and ends too.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys

from fhir_server import command, logs, serving
from fhir_server.channel import Order, Word, hear, say, settings_of
from fhir_server.installation import Installation
from fhir_server.serving import Place
from fhir_server.settings import SettingsError

_LOOK_S = 0.5
UNTOLD = {"processes": "not told of the others yet"}
"""What readiness says between the start of a process and the first word of how the others are."""


async def work(listening: socket.socket, channel: socket.socket) -> int:
    """Serve by the orders that come first on the channel; gives the exit status."""
    reader, writer = await asyncio.open_connection(sock=channel)
    order = await hear(reader, Order)
    if order is None:
        return 0
    settings = settings_of(order)
    logs.configure(settings.log_level)
    tasks: list[asyncio.Task[None]] = []

    async def answers(house: Installation) -> None:
        house.elsewhere = UNTOLD
        say(writer, Word(await house.own_health()))
        tasks.append(asyncio.create_task(_report(house, writer)))
        await _follow(house, reader)

    try:
        return await serving.serve(
            settings, Place(listening, order.public_url, leads=order.leads), answers
        )
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(OSError):
            writer.close()


async def _report(house: Installation, writer: asyncio.StreamWriter) -> None:
    """Say on the channel how this process' children are, whenever that changes."""
    said = None
    while True:
        states = await house.own_health()
        if states != said:
            say(writer, Word(states))
            said = states
        await asyncio.sleep(_LOOK_S)


async def _follow(house: Installation, reader: asyncio.StreamReader) -> None:
    """Keep what is told of the other processes; the end of the channel ends this process."""
    while (word := await hear(reader, Word)) is not None:
        house.elsewhere = word.states
    os.kill(os.getpid(), signal.SIGTERM)


def main(descriptors: list[str]) -> int:
    """Run one process on the descriptors of the listening socket and of the channel."""
    listening, channel = (socket.socket(fileno=int(number)) for number in descriptors)
    for one in (listening, channel):
        one.settimeout(0)
    try:
        with command.opening():
            return _run(listening, channel)
    except SettingsError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)  # noqa: T201 - as the command would
        return command.COULD_NOT


def _run(listening: socket.socket, channel: socket.socket) -> int:
    with asyncio.Runner(loop_factory=serving.loop) as runner:
        return runner.run(work(listening, channel))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
