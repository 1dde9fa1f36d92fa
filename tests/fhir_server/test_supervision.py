"""Children are restarted whatever ends them, and say when they are down; a folder has one server."""

import asyncio
import subprocess
import sys

import pytest
from job_world import eventually
from served import Served

from fhir_server.supervision import Child, Taken, alone
from resources.outcome import Conflict


class Script:
    """A child that ends as told, run after run, then works on."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.runs = 0
        self.stopped = False

    async def __call__(self):
        self.runs += 1
        await asyncio.sleep(0)
        if self.ends:
            end = self.ends.pop(0)
            if end is None:
                return
            raise end
        try:
            await asyncio.sleep(3600)
        finally:
            self.stopped = True


async def begun(script, *ends):
    child = Child("child", script, first_wait=0.001)
    child.start()

    async def enough():
        return script.runs > len(ends)

    await eventually(enough)
    return child


@pytest.mark.parametrize(
    "end",
    [None, OSError(), ValueError(), KeyError("x"), Conflict("no"), EOFError(), AssertionError()],
    ids=lambda end: type(end).__name__,
)
async def test_a_child_is_started_again_whatever_ended_it(end):
    script = Script(end, end)
    child = await begun(script, end, end)
    assert (child.restarts, script.runs) == (2, 3)
    assert await child.state() == "ok"
    await child.stop()
    assert script.stopped


async def test_between_two_runs_it_is_down_and_says_how_often_it_was_started_again():
    script = Script(OSError())
    child = Child("child", script, first_wait=3600)
    assert (await child.state()).startswith("down")
    child.start()

    async def down():
        return child.restarts

    await eventually(down)
    assert await child.state() == "down, restarted 1 time(s)"
    await child.stop()
    assert script.runs == 1


async def test_a_stopped_child_has_ended_when_stop_returns():
    script = Script()
    child = await begun(script)
    await child.stop()
    assert script.stopped
    assert (await child.state()).startswith("down")
    await child.stop()


async def test_a_child_that_was_never_started_can_be_stopped():
    script = Script()
    child = Child("child", script)
    await child.stop()
    assert script.runs == 0
    assert await child.state() == "down, restarted 0 time(s)"


async def test_a_child_that_fails_while_it_is_stopped_has_ended_all_the_same():
    begun = asyncio.Event()

    async def stubborn():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            raise RuntimeError("in its last moment")

    child = Child("child", stubborn)
    child.start()
    await begun.wait()
    assert await child.state() == "ok"
    await child.stop()
    assert await child.state() == "down, restarted 0 time(s)"


async def test_waits_grow_with_each_failure():
    waits = [OSError()] * 5
    script = Script(*waits)
    loop = asyncio.get_running_loop()
    before = loop.time()
    child = await begun(script, *waits)
    assert loop.time() - before >= 0.001 * (1 + 2 + 4 + 8 + 16)
    await child.stop()


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    with alone(tmp_path / "lock"):
        with pytest.raises(Taken), alone(tmp_path / "lock"):
            pass
    with alone(tmp_path / "lock"):
        pass


def test_the_kernel_lets_go_of_a_lock_when_its_process_is_killed(tmp_path):
    script = (
        "import sys, time, pathlib\n"
        "from fhir_server.supervision import alone\n"
        "with alone(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Taken), alone(tmp_path / "lock"):
            pass
        other.kill()
        other.wait()
    with alone(tmp_path / "lock"):
        pass


def test_a_second_server_on_a_folder_is_refused_in_a_sentence(tmp_path):
    first = Served(tmp_path)
    with pytest.raises(AssertionError, match="another server serves"):
        Served(tmp_path)
    assert first.stop() == 0
