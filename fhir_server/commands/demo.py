"""hounsfield demo: the demo day, against a running server or one of its own."""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.demo.day import Server
    from fhir_server.demo.step import Day


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="URL", help="a running server's FHIR base, whose folder --data names"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and no lines")


@command(
    "demo",
    "play the demo day: three patients from HL7 v2 order to claim",
    takes="data store mllp_host",
    configure=_arguments,
)
def demo(given: Namespace, settings: Settings) -> int:
    """Play the day; 0 if every step's own check held, 1 if not, 2 if there is no server to play on."""
    import asyncio

    from fhir_server.demo.server import NoServer

    with tempfile.TemporaryDirectory(prefix="hounsfield-demo-") as folder:
        try:
            day = asyncio.run(_day(given, settings, Path(folder)))
        except NoServer as fault:
            print(f"hounsfield: {fault}", file=sys.stderr)
            return COULD_NOT
        return _told(day, given, settings, Path(folder))


async def _day(given: Namespace, settings: Settings, folder: Path) -> "Day":
    from fhir_server.demo.day import Server
    from fhir_server.demo.server import mllp_port, throw_away

    if given.base:
        mllp = (settings.mllp_host, mllp_port(settings.data))
        return await _played(Server(given.base.rstrip("/"), mllp, settings), given, folder)
    async with throw_away(folder) as server:
        return await _played(server, given, folder)


async def _played(server: "Server", given: Namespace, folder: Path) -> "Day":
    from ai_observations.registry import default_cache
    from fhir_server.demo import telling
    from fhir_server.demo.day import play

    tell = telling.teller(quiet=given.json)
    return await play(server, default_cache(), folder / "images", tell)


def _told(day: "Day", given: Namespace, settings: Settings, folder: Path) -> int:
    """Print the result; where the demo's own server did badly, also what that has logged."""
    from fhir_server.demo import telling
    from fhir_server.demo.accounts import login
    from fhir_server.demo.server import tail

    if given.json:
        print(day.json().decode())
    else:
        telling.conclude(day, login=login(settings.data, day.base) if given.base else "")
    if not day.ok and not given.base:
        print(tail(folder), file=sys.stderr)
    return 0 if day.ok else 1
