"""hounsfield load: files into a store, here or over HTTP."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command, opening, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_server.installation import Installation
    from fhir_server.loading.load import Loaded, Refused, Way
    from fhir_server.loading.progress import Progress as Behind

_SHOWN = 50


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="NDJSON, Bundle, resource, folder"
    )
    parser.add_argument(
        "--base", metavar="URL", help="a running server's FHIR base, instead of --data"
    )
    parser.add_argument("--token", help="access token for --base (or HOUNSFIELD_TOKEN)")
    parser.add_argument(
        "--history",
        action="store_true",
        help="the files are those of export --history: versions keep their numbers and times",
    )
    parser.add_argument(
        "--again", action="store_true", help="begin anew, whatever was loaded before"
    )


@command(
    "load", "load NDJSON, Bundles, resources or folders", takes="data store", configure=_arguments
)
def load(given: Namespace, settings: Settings) -> int:
    """Load, and print counts and what was refused with the reasons; 1 if anything was, or it broke off.

    So also where an earlier load of the same files refused it.
    """
    import asyncio

    from fhir_server.files import files
    from fhir_server.loading.remote import base_of

    if given.history:
        return _moved(given, settings)
    try:
        found = files(given.paths)
        base = base_of(given.base) if given.base else ""
    except (FileNotFoundError, ValueError) as fault:
        return _could_not(fault)
    with opening():
        return asyncio.run(_load(given, settings, base, found))


def _could_not(fault: object) -> int:
    print(f"hounsfield: {fault}", file=sys.stderr)
    return COULD_NOT


def _moved(given: Namespace, settings: Settings) -> int:
    """Take over every version of the files into the store of the data folder and tell how many."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fhir_server.moving import Unreadable
    from fhir_server.store.port import OutOfOrder

    if given.base:
        return _could_not("--history goes with --data, not with --base")
    if missing := [path for path in given.paths if not path.is_file()]:
        return _could_not(f"{missing[0]}: no such file")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("loading")

        async def work(house: "Installation") -> str:
            return await _take(house, given.paths, lambda text: bar.update(shown, description=text))

        try:
            print(within(settings, work, begins=True))
        except (Unreadable, OSError) as fault:
            return refused(fault)
        except OutOfOrder:
            return refused("the store holds newer versions: history goes into an empty one")
    return 0


async def _take(house: "Installation", paths: list[Path], told: "Callable[[str], None]") -> str:
    import json

    from fhir_server import moving, tenancy
    from fhir_server.loading.here import spare_the_collector

    spare_the_collector()
    documents = house.services.documents

    async def tenant(name: str) -> None:
        if name != tenancy.DEFAULT:
            value = json.dumps({"created": house.services.clock()}).encode()
            await documents.put(tenancy.DEFAULT, tenancy.TENANTS, name, value, revision=0)

    text = "0 versions, 0 of them new"
    for path in paths:
        take, extract = house.import_versions, house.uploaded.extract
        async for read, new in moving.load(path, take, extract, tenant):
            text = f"{read} versions, {new} of them new"
            told(text)
    return text


async def _load(given: Namespace, settings: Settings, base: str, found: list[Path]) -> int:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fhir_server.loading import load as loading
    from fhir_server.loading.progress import mark_of

    totals, broken = loading.Loaded(), ""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    async with _way(given, settings, base, found) as (way, behind):
        try:
            if given.again:
                behind.forget(map(mark_of, found))
            with Progress(*columns, console=Console(stderr=True)) as bar:
                shown = bar.add_task("loading")
                async for totals in loading.load(found, way, behind):
                    bar.update(
                        shown, description=f"{totals.stored} stored, {len(totals.refused)} refused"
                    )
        except (loading.BrokenOff, OSError) as fault:
            broken = str(fault)
    return _report(totals, broken)


def _report(totals: "Loaded", broken: str) -> int:
    if broken and not (totals.stored or totals.refused):
        return _could_not(broken)
    print(f"{totals.stored} stored, {totals.skipped} loaded before, {len(totals.refused)} refused")
    _list(totals.refused, len(totals.refused))
    if totals.before:
        print(f"{totals.before} refused before, and not tried again without --again")
        _list(totals.told, totals.before)
    if broken:
        return refused(f"broken off: {broken}; the same command goes on where it was")
    return int(bool(totals.refused or totals.before))


def _list(found: "list[Refused]", count: int) -> None:
    shown = found[:_SHOWN]
    for one in shown:
        print(f"  {one.path}:{one.place}: {one.reason}")
    if count > len(shown):
        print(f"  … and {count - len(shown)} more")


@asynccontextmanager
async def _way(
    given: Namespace, settings: Settings, base: str, found: list[Path]
) -> "AsyncIterator[tuple[Way, Behind]]":
    """Give the way to where the files are loaded, and how far they were; raises SettingsError."""
    from fhir_server.loading import remote
    from fhir_server.loading.progress import Progress

    if not base:
        from fhir_server.loading.here import here

        async with here(settings, sum(path.stat().st_size for path in found)) as (way, name):
            yield way, Progress(settings.data / "load.json", name)
        return
    from fhir_server.loading.door import Door

    state = Path(".hounsfield-load.json")
    if not os.access(state.parent, os.W_OK | os.X_OK):
        raise SettingsError(f"{state} cannot be written here: it keeps what is behind")
    try:
        made = remote.client(given.token or os.environ.get("HOUNSFIELD_TOKEN"))
    except ValueError as fault:
        raise SettingsError(str(fault)) from None
    async with made as client:
        yield Door(remote.Remote(client, base).send), Progress(state, remote.target_of(base))
