"""A load client in a process of its own: keep-alive connections, one request at a time on each.

Reads a msgpack job from standard input and writes the latencies in seconds to standard output.
"""

import asyncio
import gc
import sys
import time

import msgspec


class Job(msgspec.Struct, frozen=True):
    """What to send, over how many connections, and the statuses that are right."""

    port: int
    connections: int
    requests: list[bytes]
    statuses: list[int]


class Measured(msgspec.Struct, frozen=True):
    """Latencies in seconds, the whole time, and how many answers had another status."""

    latencies: list[float]
    seconds: float
    wrong: int


async def _send(job: Job) -> Measured:
    pending = iter(job.requests)
    latencies: list[float] = []
    wrong = 0

    async def connection() -> None:
        """Take requests until there are none, one after another, and time each in seconds."""
        nonlocal wrong
        reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
        for raw in pending:
            begun = time.perf_counter()
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            latencies.append(time.perf_counter() - begun)
            wrong += int(head[9:12]) not in job.statuses
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(job.connections)))
    return Measured(latencies, time.perf_counter() - begun, wrong)


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"content-length:")
    return 0 if start < 0 else int(lower[start + 15 : lower.find(b"\r", start)])


def main() -> None:
    """Run one job; the collector rests meanwhile, or it would add stalls of its own."""
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    gc.freeze()
    gc.disable()
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(_send(job))))


if __name__ == "__main__":
    main()
