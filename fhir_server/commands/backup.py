"""hounsfield backup: an installation at one position, while it serves."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import command, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.backup import Manifest
    from fhir_server.installation import Installation


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--without-keys", action="store_true", help="leave the signing keys out of it"
    )


@command(
    "backup",
    "copy store, archive and keys at one position, while serving",
    takes="data store",
    configure=_arguments,
)
def backup(given: Namespace, settings: Settings) -> int:
    """Back up and tell the position; 1 if it cannot be done, with the reason on standard error."""
    from fhir_server import backup as backups

    async def work(house: "Installation") -> "Manifest":
        return await backups.make(house, given.folder, keys=not given.without_keys)

    if not settings.data.exists():
        raise SettingsError(f"data: {settings.data} does not exist")
    try:
        manifest = within(settings, work)
    except (backups.Refused, OSError) as fault:
        return refused(fault)
    size = sum(file.size for file in manifest.files.values())
    print(f"position {manifest.position}, {len(manifest.files)} files, {size} bytes")
    return 0
