"""An MLLP load client in a process of its own: a message and its ACK at a time on each connection.

Reads a msgpack job from standard input and writes what was measured to standard output.
"""

import asyncio
import gc
import sys
import time

import msgspec

from benchmarks.client import Measured
from fhir_server.hl7v2.mllp import Frames, frame


class Job(msgspec.Struct, frozen=True):
    """What to send, and over how many connections; only an AA is right."""

    port: int
    connections: int
    messages: list[bytes]


async def _send(job: Job) -> Measured:
    pending = iter(job.messages)
    latencies: list[float] = []
    wrong = 0

    async def connection() -> None:
        """Take messages until there are none, one after another, and time each until its ACK, in seconds."""
        nonlocal wrong
        reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
        frames = Frames(1 << 20)
        for message in pending:
            begun = time.perf_counter()
            writer.write(frame(message))
            answers: list[bytes] = []
            while not answers:
                data = await reader.read(65536)
                if not data:
                    raise ConnectionError("closed before the ACK")
                answers = frames.feed(data)
            latencies.append(time.perf_counter() - begun)
            wrong += b"\rMSA|AA|" not in answers[0]
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(job.connections)))
    return Measured(latencies, time.perf_counter() - begun, wrong)


def main() -> None:
    """Run one job; the collector rests meanwhile, or it would add stalls of its own."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    gc.freeze()
    gc.disable()
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(_send(job))))


if __name__ == "__main__":
    main()
