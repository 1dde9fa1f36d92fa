"""The hounsfield command: finds its subcommands, reads the settings, runs one."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from fhir_server import commands, registry
from fhir_server.command import Command, flags
from fhir_server.settings import SettingsError, load

_COULD_NOT = 2
_INTERRUPTED = 130


def parser(found: Sequence[Command]) -> ArgumentParser:
    """Give the command line's grammar, a subcommand for each declaration."""
    top = ArgumentParser("hounsfield", description="FHIR-first imaging interoperability server.")
    top.add_argument("--config", metavar="FILE", type=Path, help="a hounsfield.toml to read")
    subcommands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in sorted(found, key=lambda c: c.name):
        command.flags(
            subcommands.add_parser(command.name, help=command.help, description=command.help)
        )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status; 2 where it could not begin."""
    found = tuple(registry.discover(commands, Command, "fhir_server.commands"))
    given = parser(found).parse_args(arguments)
    command = next(c for c in found if c.name == given.command)
    try:
        settings, _ = load(flags(given), os.environ, given.config)
        return command.run(given, settings)
    except SettingsError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return _COULD_NOT
    except KeyboardInterrupt:
        return _INTERRUPTED
