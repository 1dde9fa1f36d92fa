"""hounsfield translate: HL7 v2 messages to FHIR transactions, without storing anything.

One JSON line a message on each: the Bundle on standard output, the OperationOutcome on standard error.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fhir_server.command import COULD_NOT, command
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.files import FoundMessage
    from fhir_server.hl7v2.sender import Sender
    from resources.model import Resource
    from resources.outcome import Issue


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="HL7 v2 file (.gz too) or folder"
    )


@command("translate", "show HL7 v2 messages as FHIR", takes="default_zone", configure=_arguments)
def translate(given: Namespace, settings: Settings) -> int:
    """Translate each message; 1 if any is refused, 2 if a file is not there."""
    from fhir_server.files import V2_ENDINGS, files, messages
    from fhir_server.hl7v2.sender import Sender

    try:
        paths = files(given.paths, V2_ENDINGS)
    except FileNotFoundError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return COULD_NOT
    sender = Sender(zone=settings.default_zone)
    told = [_tell(found, sender) for path in paths for found in messages(path)]
    return int(not all(told))


def _tell(found: "FoundMessage", sender: "Sender") -> bool:
    """Print the Bundle and the outcome of one message; tells whether it could be translated."""
    from fhir_server.hl7v2 import translation
    from fhir_server.hl7v2.refusal import Refusal
    from resources.outcome import Issue

    if found.problem:
        return _refuse(found, Issue("error", "structure", found.problem))
    try:
        made = translation.translate(found.message, sender)
    except Refusal as refusal:
        where = f"{refusal.location}: " if refusal.location else ""
        issue = Issue("error", "processing", f"{where}{refusal.text} ({refusal.code})")
        return _refuse(found, issue)
    _line(made.bundle, sys.stdout)
    _line(made.coverage.outcome(), sys.stderr)
    return True


def _refuse(found: "FoundMessage", issue: "Issue") -> bool:
    from msgspec.structs import replace

    from resources.outcome import operation_outcome

    placed = replace(issue, diagnostics=f"{found.path}:{found.place}: {issue.diagnostics}")
    _line(operation_outcome((placed,)), sys.stderr)
    return False


def _line(resource: "Resource", stream: TextIO) -> None:
    from resources.model import serialise

    print(serialise(resource).decode(), file=stream)
