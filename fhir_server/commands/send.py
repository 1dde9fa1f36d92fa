"""hounsfield send: HL7 v2 files over MLLP, their acknowledgements printed (HL7 v2.5.1 §2.9)."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command
from fhir_server.setting_values import port
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.files import FoundMessage

_LOOPBACK = "127.0.0.1"
_ACCEPTED = frozenset({"AA", "CA"})


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="HL7 v2 file (.gz too) or folder"
    )
    parser.add_argument(
        "--to",
        type=_address,
        metavar="HOST:PORT",
        help="where a listener is; by default that of the settings",
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="wait for each ACK (30)"
    )


def _address(text: str) -> tuple[str, int]:
    host, _, number = text.rpartition(":")
    try:
        return host.strip("[]") or _LOOPBACK, port(number)
    except ValueError:
        raise ArgumentTypeError("HOST:PORT is wanted") from None


@command("send", "send HL7 v2 files over MLLP", takes="mllp_host mllp_port", configure=_arguments)
def send(given: Namespace, settings: Settings) -> int:
    """Send each message and print its ACK; 1 if any is not accepted, 2 if a file is not there."""
    from fhir_server.files import V2_ENDINGS, files, messages

    try:
        paths = files(given.paths, V2_ENDINGS)
    except FileNotFoundError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return COULD_NOT
    to: tuple[str, int | None] = given.to or (settings.mllp_host, settings.mllp_port)
    host, number = to
    if number is None:
        print("hounsfield: mllp_port is off; --to names a listener", file=sys.stderr)
        return COULD_NOT
    found = [message for path in paths for message in messages(path)]
    return int(not all([_accepted(one, (host, number), given.timeout) for one in found]))  # noqa: C419 - every one


def _accepted(found: "FoundMessage", to: tuple[str, int], timeout: float) -> bool:
    """Send one message and print what comes back; tells whether it was accepted."""
    import asyncio

    from fhir_server.hl7v2 import mllp

    problem = found.problem
    if not problem:
        try:
            acknowledgement = asyncio.run(mllp.send(*to, found.message, timeout))
        except mllp.NoAcknowledgement as fault:
            problem = str(fault)
    if problem:
        print(f"hounsfield: {found.path}:{found.place}: {problem}", file=sys.stderr)
        return False
    return _tell(acknowledgement)


def _tell(acknowledgement: bytes) -> bool:
    from fhir_server.hl7v2 import message
    from fhir_server.hl7v2.refusal import Refusal

    try:
        read = message.parse(acknowledgement)
        code = read["MSA"].value("1")
    except Refusal as refusal:
        print(f"hounsfield: what came is no ACK: {refusal.text}", file=sys.stderr)
        return False
    print(read.text.replace("\r", "\n"))
    return code in _ACCEPTED
