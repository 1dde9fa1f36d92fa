"""The whole REST surface at random, over a real server: no 5xx, no hang, no growth of memory."""

import asyncio
import contextlib
import json
import time

import psutil
import pytest
from fuzzing import Fuzzer
from served import Served

CLIENTS = 4
LONGEST_S = 5
GROWTH = 64_000_000


class Hung(AssertionError):
    """No whole answer came in time."""


async def exchange(port, request):
    """Send a request and give status, headers (lower-case) and body; status 0 where the door closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    try:
        async with asyncio.timeout(LONGEST_S):
            with contextlib.suppress(ConnectionError):
                writer.write(request.wire())
                await writer.drain()
            raw = await reader.read()
    except TimeoutError:
        raise Hung(told(request)) from None
    except ConnectionError:
        return 0, {}, b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    return int(first.split()[1]) if first else 0, headers, body


def told(request, status=None, body=b""):
    """Tell a request so that it can be sent again."""
    return f"{status} {body[:300]!r} for\n{request.wire()[:3000]!r}"


def fault(request, status, headers, body):
    """Give what is wrong with an answer, None if nothing is."""
    if status >= 500:
        return "a 5xx"
    refused = status >= 400 and request.target.startswith("/fhir") and request.method != "HEAD"
    if refused and headers.get("content-type", "").startswith("application/fhir+json"):
        if headers.get("content-encoding") == "gzip":
            return None
        issues = json.loads(body)["issue"]
        if not all(issue["diagnostics"] for issue in issues):
            return "an outcome without words"
    return None


async def fuzz(port, seed, until, faults, counts):
    """Send requests until the time is over; keep what went wrong."""
    fuzzer = Fuzzer(seed)
    while time.monotonic() < until:
        request = fuzzer.request()
        status, headers, body = await exchange(port, request)
        counts[status] = counts.get(status, 0) + 1
        wrong = fault(request, status, headers, body)
        if wrong is not None:
            faults.append(f"{wrong}: {told(request, status, body)}")
            if len(faults) > 20:
                return


def resident(pid):
    """Give the memory of a process and its children, in bytes."""
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])


@pytest.mark.timeout(900)
async def test_random_requests_find_no_fault_no_hang_and_no_leak(tmp_path, size, record_property):
    seconds = size(25, 600)
    served = Served(tmp_path)
    faults, counts = [], {}
    begun = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            for seed in range(CLIENTS):
                group.create_task(fuzz(served.port, seed, begun + seconds, faults, counts))
            await asyncio.sleep(seconds / 2)
            before = resident(served.process.pid)
        after = resident(served.process.pid)
    finally:
        status = served.stop()
    total = sum(counts.values())
    assert faults == [], "\n\n".join(faults)
    assert counts.get(200, 0) > total / 20, "hardly anything was right: the fuzzer has lost its way"
    assert {400, 404, 405, 415, 422} <= counts.keys()
    assert after - before < GROWTH, f"from {before / 1e6:.0f} to {after / 1e6:.0f} MB"
    assert status == 0
    record_property("proof", f"{total} random requests in {seconds} s: no 5xx, no hang, no leak")
