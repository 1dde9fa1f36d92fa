"""hounsfield restore: a backup into an empty data folder."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fhir_server.command import command, opening, refused
from fhir_server.settings import Settings


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that backup made")


@command(
    "restore", "put a backup into an empty data folder", takes="data store", configure=_arguments
)
def restore(given: Namespace, settings: Settings) -> int:
    """Restore and tell the position; 1 if it is refused, with the reason on standard error."""
    import asyncio

    from fhir_server import backup

    try:
        with opening():
            manifest = asyncio.run(backup.restore(given.folder, settings))
    except (backup.Refused, OSError) as fault:
        return refused(fault)
    print(f"position {manifest.position}, {len(manifest.files)} files, made {manifest.made}")
    return 0
