"""hounsfield export: bulk data of any Bulk Data server into NDJSON files (Bulk Data Access 2.0)."""

import contextlib
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command, refused, sentence, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    import httpx
    from rich.console import Console

    from fhir_server.bulk.bearer import Bearer, SigningKey
    from fhir_server.bulk.client import BulkClient, Fetched
    from fhir_server.bulk.manifest import Manifest
    from fhir_server.installation import Installation

_WIDE = 240


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--base", metavar="URL", help="FHIR base of the server")
    parser.add_argument(
        "--history",
        action="store_true",
        help="instead of --base: every version of every tenant of --data, to move to another store",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the files"
    )
    parser.add_argument(
        "--type", action="append", default=[], help="a resource type, or several with commas"
    )
    parser.add_argument("--since", default="", metavar="INSTANT", help="only what changed since")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--patients", action="store_true", help="what belongs to any patient")
    level.add_argument("--group", metavar="ID", help="what belongs to a Group's patients")
    parser.add_argument("--token", help="an access token (or HOUNSFIELD_TOKEN)")
    parser.add_argument("--client", metavar="ID", help="the client that signs for its own tokens")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key: JWK, JWKS, PEM")
    parser.add_argument("--kid", help="the key's id, where the file names none or several")
    parser.add_argument("--scope", default="", help="scopes to ask for (system/*.rs)")


@command(
    "export",
    "fetch a server's bulk data as NDJSON",
    takes="data store",
    configure=_arguments,
)
def export(given: Namespace, settings: Settings) -> int:
    """Export, fetch and count; 1 if the export failed or a file is short, 2 if it could not begin."""
    import asyncio

    from fhir_server.bulk.bearer import read_key

    key = None
    try:
        if bool(given.base) == given.history:
            raise ValueError("give --base, or --history with --data")  # noqa: TRY301 - told below
        if bool(given.client) != bool(given.key):
            raise ValueError("--client and --key go together")  # noqa: TRY301 - told below
        if given.key:
            key = read_key(given.key, given.kid)
        given.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as fault:
        print(f"hounsfield: {sentence(fault)}", file=sys.stderr)
        return COULD_NOT
    if given.history:
        return _moved(given.out, settings)
    return asyncio.run(_export(given, key))


def _moved(folder: Path, settings: Settings) -> int:
    """Write every version into a file of the folder and tell how many."""
    from rich.console import Console
    from rich.progress import Progress

    from fhir_server import moving

    async def work(house: "Installation") -> int:
        done, total = 0, await house.services.store.position()
        with Progress(console=Console(stderr=True)) as bar:
            shown = bar.add_task("exporting", total=total)
            async for done in moving.export(house.services.store, folder):
                bar.update(shown, completed=done)
        return done

    print(f"{within(settings, work)} versions in {folder / moving.FILE}")
    return 0


async def _export(given: Namespace, key: "SigningKey | None") -> int:
    import httpx
    from rich.console import Console

    from fhir_server.bulk.client import BulkClient
    from fhir_server.bulk.exchange import Exchange, ExportFailed

    base = given.base.rstrip("/")
    async with httpx.AsyncClient(timeout=60, follow_redirects=True) as http:
        client = BulkClient(Exchange(http, base, _bearer(given, http, base, key)))
        try:
            manifest, fetched = await _fetch(given, client, Console(stderr=True))
        except ExportFailed as fault:
            return refused(fault)
    _print(manifest, fetched)
    return int(any(one.problem for one in fetched))


def _bearer(
    given: Namespace, http: "httpx.AsyncClient", base: str, key: "SigningKey | None"
) -> "Bearer":
    from fhir_server.bulk.bearer import Assertion, Given

    if key is None:
        return Given(given.token or os.environ.get("HOUNSFIELD_TOKEN"))
    return Assertion(http, base, given.client, key, given.scope)


async def _fetch(
    given: Namespace, client: "BulkClient", console: "Console"
) -> "tuple[Manifest, list[Fetched]]":
    """Run the export with a bar; an export that is interrupted is cancelled on the server too."""
    import asyncio

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    from fhir_server.bulk.client import Ask
    from fhir_server.bulk.exchange import ExportFailed

    types = tuple(name for text in given.type for name in text.split(",") if name)
    level = f"Group/{given.group}" if given.group else "Patient" if given.patients else ""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        waiting = bar.add_task("asking", total=100)
        status = await client.start(Ask(level, types, given.since))
        try:
            manifest = await client.wait(
                status,
                lambda text, percent: bar.update(
                    waiting, description=text or "exporting", completed=percent or 0
                ),
            )
        except asyncio.CancelledError:
            with contextlib.suppress(ExportFailed):
                await client.cancel(status)
            raise
        bar.update(waiting, description="exported", completed=100)
    with Progress(*columns, DownloadColumn(), console=console) as bar:
        fetching = bar.add_task("fetching", total=None)
        found = await client.fetch(manifest, given.out, lambda n: bar.advance(fetching, n))
    return manifest, found


def _print(manifest: "Manifest", fetched: "list[Fetched]") -> None:
    """Print a table of the files, lines that came beside lines that were announced."""
    from rich.console import Console
    from rich.table import Table

    table = Table("file", "type", box=None)
    for name in ("lines", "announced", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in fetched:
        announced = "" if one.listed.count is None else f"{one.listed.count}"
        row = (one.listed.name, one.listed.type, f"{one.lines}", announced, f"{one.size}")
        table.add_row(*row, one.problem or "ok")
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table)
    console.print(f"{len(fetched)} files, as of {manifest.time}", highlight=False)
