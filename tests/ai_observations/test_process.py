"""Models run in a process of their own, which may die without taking anything else along."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import small_study

from ai_observations import worker
from ai_observations.model import Unsuitable
from ai_observations.process import InferenceProcess, ProcessDied

ROOT = Path(__file__).resolve().parents[2]
MODEL = "iq-classical"
PARENT = """
import asyncio, sys
sys.path[:0] = ["tests/support"]
import small_study
from ai_observations.process import InferenceProcess

async def main():
    process = InferenceProcess()
    await process.run("iq-classical", small_study.files())
    print(*process.pids(), flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def files():
    return small_study.files()


@pytest.fixture
async def process():
    made = InferenceProcess()
    yield made
    await made.close()


async def _begun(process, files):
    """Start a run and hold its process still in the middle of it; gives run and process id."""
    run = asyncio.create_task(process.run(MODEL, files))
    async with asyncio.timeout(30):
        while not process.pids():  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.001)
    (pid,) = process.pids()
    os.kill(pid, signal.SIGSTOP)
    return run, pid


async def test_a_run_gives_what_the_model_gives_and_is_not_in_this_process(process, files):
    result = await process.run(MODEL, files)
    here = worker.run_model(MODEL, files)
    assert result.measures == here.measures
    assert result.input_sha256 == here.input_sha256
    (pid,) = process.pids()
    assert pid != os.getpid()


async def test_a_refusal_comes_back_with_its_sentence_and_the_process_stays(process, files):
    with pytest.raises(Unsuitable):
        await process.run("ct-lung-measures", [b"no DICOM"])
    before = process.pids()
    await process.run(MODEL, files)
    assert process.pids() == before


async def test_a_process_that_is_killed_in_mid_run_says_so_and_the_next_run_has_a_new_one(
    process, files
):
    run, pid = await _begun(process, files)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProcessDied):
        await run
    result = await process.run(MODEL, files)
    assert result.instances == len(files)
    assert process.pids() != [pid]


async def test_a_cancelled_run_ends_its_process(process, files):
    run, pid = await _begun(process, files)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not psutil.pid_exists(pid)
    assert process.pids() == []


async def test_a_run_that_takes_too_long_is_ended(files):
    process = InferenceProcess(longest=0.05)
    with pytest.raises(ProcessDied, match="more than"):
        await process.run(MODEL, files)
    assert process.pids() == []


async def test_runs_take_turns_and_a_cancelled_one_harms_no_other(process, files):
    first, pid = await _begun(process, files)
    second = asyncio.create_task(process.run(MODEL, files))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).instances == len(files)
    assert process.pids() != [pid]


async def test_closing_ends_the_process_whatever_it_does(process, files):
    run, pid = await _begun(process, files)
    await process.close()
    with pytest.raises(ProcessDied):
        await run
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_the_process_ends_with_a_server_that_is_killed():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    until = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the process outlived its server"
        time.sleep(0.01)
