"""hounsfield load: files into a store, here or over HTTP."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command, refused, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_server.context import Context
    from fhir_server.installation import Installation
    from fhir_server.loading.door import Door
    from fhir_server.loading.load import Loaded, Way
    from resources.model import Resource

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
    """Load, and print counts and what was refused with the reasons; 1 if anything was."""
    import asyncio

    if given.history:
        return _moved(given, settings)
    return asyncio.run(_load(given, settings))


def _moved(given: Namespace, settings: Settings) -> int:
    """Take over every version of the files into the store of the data folder and tell how many."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fhir_server.moving import Unreadable
    from fhir_server.store.port import OutOfOrder

    if given.base:
        print("hounsfield: --history goes with --data, not with --base", file=sys.stderr)
        return COULD_NOT
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("loading")

        async def work(house: "Installation") -> str:
            return await _take(house, given.paths, lambda text: bar.update(shown, description=text))

        try:
            print(within(settings, work))
        except (Unreadable, OSError) as fault:
            return refused(fault)
        except OutOfOrder:
            return refused("the store holds newer versions: history goes into an empty one")
    return 0


async def _take(house: "Installation", paths: list[Path], told: "Callable[[str], None]") -> str:
    import json

    from fhir_server import moving, tenancy

    _spare_the_collector()
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


async def _load(given: Namespace, settings: Settings) -> int:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fhir_server.files import files
    from fhir_server.loading import load as loading

    try:
        found = files(given.paths)
    except FileNotFoundError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return COULD_NOT
    totals = loading.Loaded()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    async with _way(given, settings, found) as way:
        state = Path(".hounsfield-load.json") if given.base else settings.data / "load.json"
        if given.again:
            state.unlink(missing_ok=True)
        with Progress(*columns, console=Console(stderr=True)) as bar:
            shown = bar.add_task("loading")
            async for totals in loading.load(found, way, loading.Progress(state)):
                bar.update(
                    shown, description=f"{totals.stored} stored, {len(totals.refused)} refused"
                )
    return _report(totals)


def _report(totals: "Loaded") -> int:
    print(f"{totals.stored} stored, {totals.skipped} loaded before, {len(totals.refused)} refused")
    for one in totals.refused[:_SHOWN]:
        print(f"  {one.path}:{one.place}: {one.reason}")
    if len(totals.refused) > _SHOWN:
        print(f"  … and {len(totals.refused) - _SHOWN} more")
    return 1 if totals.refused else 0


def _way(
    given: Namespace, settings: Settings, found: "list[Path]"
) -> "AbstractAsyncContextManager[Way]":
    if given.base:
        return _remote(given.base.rstrip("/"), given.token or os.environ.get("HOUNSFIELD_TOKEN"))
    return _here(settings, sum(path.stat().st_size for path in found))


@asynccontextmanager
async def _here(settings: Settings, size: int) -> "AsyncIterator[Way]":
    """Give the way straight into the store of the data folder, for so many bytes."""
    from fhir_server import app, tenancy
    from fhir_server.loading.preparing import Preparing, processes_for
    from fhir_server.loading.straight import Straight

    async with app.installation(settings, "http://localhost") as house:
        _spare_the_collector()
        context = house.ours(tenancy.DEFAULT, "load")
        with Preparing(context, processes_for(size)) as preparing:
            yield Straight(context, preparing, _door(context))


def _spare_the_collector() -> None:
    """Have what lives as long as the process not looked at again, and what a group makes not so often."""
    import gc

    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _door(context: "Context") -> "Door":
    """Give the door of the installation itself, the same as everyone's."""
    from fhir_server.interactions import answer
    from fhir_server.interactions.dispatch import dispatch
    from fhir_server.loading.door import Door
    from fhir_server.message import FhirRequest
    from resources.model import parse, serialise
    from resources.outcome import FhirError

    async def send(bundle: "Resource") -> "tuple[int, Resource]":
        try:
            response = await dispatch(context, FhirRequest("POST", "", body=serialise(bundle)))
        except FhirError as refused:
            response = answer.failed(refused)
        return response.status, parse(response.body)

    return Door(send)


@asynccontextmanager
async def _remote(base: str, token: str | None) -> "AsyncIterator[Way]":
    """Give the way through the door of a running server."""
    import httpx

    from fhir_server.loading.door import Door
    from resources.model import Resource, parse, serialise

    headers = {"Content-Type": "application/fhir+json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(headers=headers, timeout=300) as client:

        async def send(bundle: Resource) -> tuple[int, Resource]:
            response = await client.post(base, content=serialise(bundle))
            return response.status_code, parse(response.content)

        yield Door(send)
