"""`make run`: start `hounsfield serve`, play the demo day on it, keep serving until interrupted."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

COMMAND = Path(sys.executable).with_name("hounsfield")
DATA = Path(".data/run")
READY = "ready "
_LAST_LINES_S = 5.0
"""How long what a server said last may take; a process that it left behind may hold its output open."""


def main() -> int:
    """Run both; gives the server's exit status, or 1 if it never became ready."""
    DATA.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(
        [COMMAND, "serve", "--data", DATA],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stopping = _stop_on_signal(server)
    base = _wait_until_ready(server)
    if base is None:
        print("The server ended before it was ready.", file=sys.stderr)
        return server.wait() or 1
    passing = threading.Thread(target=_pass_on, args=(server,), daemon=True)
    passing.start()
    played = subprocess.run([COMMAND, "demo", "--base", base, "--data", DATA], check=False)
    if not stopping.is_set() and server.poll() is None:
        held = "every step held" if played.returncode == 0 else "NOT every step held, see above"
        print(f"Demo day: {held}. Serving {base} until Ctrl-C.", flush=True)
    status = server.wait()
    passing.join(_LAST_LINES_S)
    return status


def _wait_until_ready(server: subprocess.Popen[str]) -> str | None:
    """Pass the server's lines on until the one that tells its base URL; None if it ended first."""
    for line in server.stdout or ():
        print(line, end="", flush=True)
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
    return None


def _pass_on(server: subprocess.Popen[str]) -> None:
    """Pass on what the server prints afterwards, so that its pipe never fills."""
    for line in server.stdout or ():
        print(line, end="", flush=True)


def _stop_on_signal(server: subprocess.Popen[str]) -> threading.Event:
    """Let Ctrl-C and SIGTERM drain the server, which is in a session of its own; tells that one came."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()
        server.terminate()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopping


if __name__ == "__main__":
    sys.exit(main())
