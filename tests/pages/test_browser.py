"""A real browser finds no page wider than a phone, no error, and what a person should see."""

import asyncio
import contextlib
import html
import json
import re
import shutil

import imaging_story
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


class Server(uvicorn.Server):
    """Serves in the test's own loop, where the store lives, and leaves signals alone."""

    def __init__(self, config):
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def served(app):
    """The app on a free port of loopback."""
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none")
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await asyncio.wait_for(server.listening.wait(), 30)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def browse(chromium, folder, *arguments):
    """Run the browser without a window and give what it writes."""
    process = await asyncio.create_subprocess_exec(
        chromium,
        *(
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ),
        *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
        f"--user-data-dir={folder}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    return told.decode()


async def measured(chromium, folder, app, wanted):
    """What the browser measures of each (path, width): scroll width, counts of faults, a style."""

    async def page(_):
        return HTMLResponse(MEASURE.replace("WANTED", json.dumps(wanted)))

    framed = Middleware(Framed)
    both = Starlette(routes=[Route("/measure", page), Mount("/", app)], middleware=[framed])
    async with served(both) as origin:
        told = await browse(
            chromium, folder, "--virtual-time-budget=30000", "--dump-dom", f"{origin}/measure"
        )
    assert "<title>measured</title>" in told, told[-2000:]
    body = re.search(r"<body>(.*)</body>", told, re.DOTALL)
    return json.loads(html.unescape(body[1]))


def wide_patient():
    """A patient whose name, number and photograph's title have no place to break a line."""
    patient = imaging_story.patient("wide", family="W" * 120)
    patient["identifier"][0]["value"] = "9" * 200
    patient["photo"] = [{"title": "P" * 150, "url": "https://x.example/" + "p" * 150}]
    return patient


async def test_no_page_is_wider_than_a_phone_or_a_desktop(chromium, world, tmp_path):
    await world.put(wide_patient())
    await world.put(imaging_story.study("wide", "Patient/wide", uid="1.2." + "3" * 50))
    paths = (*PATHS, "/stories/wide", "/resources/Patient/wide", "/resources/Patient/wide/json")
    wanted = [[path, width] for path in paths for width in (PHONE, DESKTOP)]
    found = await measured(chromium, tmp_path, world.app, wanted)
    assert len(found) == len(wanted)
    faults = {
        place: values
        for place, values in found.items()
        if values[:4] != [int(place.split()[0]), 0, 0, 0]
    }
    assert faults == {}
    assert {values[4] for values in found.values()} == {"650"}, "the style sheet was not applied"


async def test_the_measure_finds_a_page_that_is_too_wide(chromium, tmp_path):
    """The check above can fail: a page that overflows is told apart from one that fits."""

    async def wide(_):
        return HTMLResponse("<!doctype html><h1 style='width:900px'>Wide</h1><nav><a>x</a></nav>")

    app = Starlette(routes=[Route("/wide", wide)])
    found = await measured(chromium, tmp_path, app, [["/wide", PHONE], ["/wide", DESKTOP]])
    assert found[f"{PHONE} /wide"][0] > PHONE
    assert found[f"{DESKTOP} /wide"][0] == DESKTOP


async def test_the_page_s_policy_lets_its_style_in_and_no_script_run(chromium, world, tmp_path):
    """A script that had got into a page would not run, and the browser applies our style."""
    planted = b"<script>document.title = 'ran'</script></body>"

    class Planted:
        def __init__(self, app):
            self._app = app

        async def __call__(self, scope, receive, send):
            async def changed(message):
                if message["type"] == "http.response.start":
                    kept = [h for h in message["headers"] if h[0] != b"content-length"]
                    message = {**message, "headers": kept}
                elif b"</body>" in message.get("body", b""):
                    message["body"] = message["body"].replace(b"</body>", planted)
                await send(message)

            await self._app(scope, receive, changed)

    async with served(Planted(world.app)) as origin:
        told = await browse(
            chromium, tmp_path, "--virtual-time-budget=5000", "--dump-dom", f"{origin}/stories/s1"
        )
    assert "document.title" in told
    assert "<title>Story of a study · Hounsfield</title>" in told
