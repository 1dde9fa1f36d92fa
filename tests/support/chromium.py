"""A headless Chromium that is told what to do over a pipe (Chrome DevTools Protocol)."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil

PROGRAM = "chromium"
_WAIT_S = 60


class Tab:
    """One page: goes to addresses, runs expressions, waits for what should come."""

    def __init__(self, chromium, session):
        self._chromium = chromium
        self._session = session

    async def go(self, url):
        await self._chromium.call("Page.navigate", {"url": url}, self._session)

    async def run(self, expression):
        """The value of an expression, None while the page is being left."""
        told = await self._chromium.call(
            "Runtime.evaluate",
            {"expression": expression, "returnByValue": True, "awaitPromise": True},
            self._session,
        )
        return told.get("result", {}).get("value")

    async def until(self, expression):
        """Wait until an expression is true in whatever page is there; tells the page if it never is."""
        waited = 0.0
        while waited < _WAIT_S:
            if value := await self.run(f"document.readyState === 'complete' && ({expression})"):
                return value
            await asyncio.sleep(0.05)
            waited += 0.05
        text = await self.run("location.href + ' ' + document.body.innerText")
        raise AssertionError(f"never {expression}: {text}")

    async def press(self, selector):
        await self.until(f"!!document.querySelector({selector!r})")
        await self.run(f"document.querySelector({selector!r}).click()")

    async def fill(self, **fields):
        for name, value in fields.items():
            field = f"document.querySelector('[name={name}]')"
            await self.until(f"!!{field}")
            await self.run(f"{field}.value = {json.dumps(value)}")


class Chromium:
    """The browser's process, its pipe, and the answers that come back."""

    def __init__(self, process, reader, writer):
        self._process = process
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting = {}
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self):
        while data := await self._reader.readuntil(b"\0"):
            message = json.loads(data[:-1])
            waiting = self._waiting.pop(message.get("id"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    async def call(self, method, params=None, session=None):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        answered = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        self._writer.write(json.dumps(message).encode() + b"\0")
        told = await asyncio.wait_for(answered, _WAIT_S)
        return told.get("result", {})

    async def tab(self):
        """A new page with cookies of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        wanted = {"url": "about:blank", "browserContextId": context}
        target = (await self.call("Target.createTarget", wanted))["targetId"]
        attach = {"targetId": target, "flatten": True}
        return Tab(self, (await self.call("Target.attachToTarget", attach))["sessionId"])

    async def close(self):
        await self.call("Browser.close")
        await asyncio.wait_for(self._process.wait(), 30)
        self._listening.cancel()
        await asyncio.wait({self._listening})
        self._writer.close()


@contextlib.asynccontextmanager
async def running(folder):
    """A browser with a profile in the folder."""
    there, ours_out = os.pipe()
    ours_in, back = os.pipe()
    program = shutil.which(PROGRAM)
    assert program, "chromium is not installed; `make servers` installs it, as root"
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-extensions",
        "--disable-background-networking",
        "--remote-debugging-pipe",
        f"--user-data-dir={folder}",
    )
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        f'exec 13<&{there} 14>&{back}; exec "$0" "$@" 3<&13 4>&14 13<&- 14>&-',
        program,
        *flags,
        pass_fds=(there, back),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(there)
    os.close(back)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    read, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", 0)
    )
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(ours_out, "wb", 0))
    browser = Chromium(process, reader, writer)
    try:
        yield browser
    finally:
        await browser.close()
        read.close()
