"""A real browser finds no page wider than a phone, no error, and what a person should see."""

import html
import re
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

PHONE, DESKTOP = 360, 1280
PATHS = (
    "/",
    "/stories",
    "/stories/s1",
    "/stories/s2",
    "/resources",
    "/resources/Observation",
    "/resources/ImagingStudy/s1",
    "/resources/ImagingStudy/s1/json",
    "/resources/ImagingStudy/s1/history",
    "/stories/nobody",
)
MEASURE = """<!doctype html><title>measure</title><body>
<script>
const found = {};
const frames = [...WANTED].map(([path, width]) => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style.cssText = `border:0;width:${width}px;height:800px`;
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement;
    const wide = [...page.querySelectorAll("body *")].filter(e => {
      const box = e.getBoundingClientRect();
      return box.right > width + 0.5 && !e.closest("pre, .unseen, .skip");
    });
    const small = [...page.querySelectorAll("nav a")].filter(
      e => e.getBoundingClientRect().height < 24);
    const broken = [...page.images].filter(i => i.complete && !i.naturalWidth);
    found[`${width} ${path}`] = [root.scrollWidth, wide.length, small.length, broken.length,
      getComputedStyle(page.querySelector("h1")).fontWeight];
    done();
  };
  frame.src = path;
  document.body.append(frame);
}));
Promise.all(frames).then(() => {
  document.title = "measured";
  document.body.textContent = JSON.stringify(found);
});
</script>"""


class Framed:
    """Lets the measuring page frame the pages: takes that one directive off their policy."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def changed(message):
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, value.replace(b"frame-ancestors 'none'", b"frame-ancestors 'self'"))
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app(scope, receive, changed)


@pytest.fixture(scope="session")
def chromium():
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is not installed; `make servers` installs it, as root")
    return found


@contextmanager
def served(app):
    """The app on a free port of loopback, from a thread of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def browse(chromium, folder, *arguments):
    command = [
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
        f"--user-data-dir={folder}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measured(chromium, folder, app, wanted):
    """What the browser measures of each (path, width): scroll width, and counts of faults."""
    pairs = str([list(pair) for pair in wanted]).replace("'", '"')

    async def page(_):
        return HTMLResponse(MEASURE.replace("WANTED", pairs))

    both = Starlette(routes=[Route("/measure", page), Mount("/", app)], middleware=[Middleware(Framed)])
    with served(both) as origin:
        told = browse(
            chromium, folder, "--virtual-time-budget=20000", "--dump-dom", f"{origin}/measure"
        ).stdout
    assert "<title>measured</title>" in told, told[-2000:]
    body = html.unescape(re.search(r"<body>(.*)</body>", told, re.DOTALL)[1])
    import json

    return json.loads(body)


@pytest.fixture
def stories(world, tmp_path):
    """The pages of two stories, their store safe to ask from another thread's loop."""
    return world


async def test_no_page_is_wider_than_a_phone_or_a_desktop(chromium, world, tmp_path):
    await world.put(wide_patient())
    wanted = [(path, width) for path in (*PATHS, "/resources/Patient/wide") for width in (PHONE, DESKTOP)]
    import asyncio

    found = await asyncio.to_thread(measured, chromium, tmp_path, bridged(world.app), wanted)
    assert len(found) == len(wanted)
    faults = {
        place: values
        for place, values in found.items()
        if values[:4] != [int(place.split()[0]), 0, 0, 0]
    }
    assert faults == {}
    assert {values[4] for values in found.values()} == {"650"}, "the style sheet was not applied"
