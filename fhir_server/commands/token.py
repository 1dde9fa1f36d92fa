"""hounsfield token: an access token signed by this installation, for operators and development."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server import tenancy
from fhir_server.command import command, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.installation import Installation
    from smart_auth.keys import KeyRing
    from smart_auth.operator_token import OperatorToken


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--scope", required=True, help='SMART scopes, e.g. "system/*.rs"')
    parser.add_argument("--patient", metavar="ID", help="the patient in context")
    parser.add_argument("--fhir-user", metavar="REF", help="who acts, e.g. Practitioner/1")
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="ImagingStudy/ID",
        help="a resource in context besides the patient",
    )
    parser.add_argument("--tenant", default=tenancy.DEFAULT, metavar="NAME")
    parser.add_argument(
        "--ttl", type=int, default=3600, metavar="SECONDS", help="how long it lives (3600)"
    )


@command("token", "print an access token", takes="data store", configure=_arguments)
def token(given: Namespace, settings: Settings) -> int:
    """Print the token; 1 if the scopes mean nothing as asked, with the reason on standard error."""
    from smart_auth.keys import KeyRing, UnsafeKeys
    from smart_auth.operator_token import OperatorToken, mint

    asked = OperatorToken(
        given.scope,
        given.patient,
        given.fhir_user,
        tuple(given.context),
        given.tenant,
        given.ttl,
    )
    folder = settings.data / "keys"
    if not folder.exists():
        print(f"hounsfield: {settings.data} had no signing keys; they are made", file=sys.stderr)
    try:
        if given.tenant != tenancy.DEFAULT:
            within(settings, _nothing, given.tenant)
        keys = KeyRing(folder)
        made = mint(keys, asked)
        _told(settings, keys, asked)
        print(made)
    except OSError as fault:
        raise SettingsError(f"data: {settings.data} cannot be used: {fault.strerror}") from None
    except SettingsError:
        raise
    except (ValueError, UnsafeKeys) as fault:
        return refused(fault)
    return 0


def _told(settings: Settings, keys: "KeyRing", asked: "OperatorToken") -> None:
    """Keep in the audit trail that a token was issued; raises ValueError where it cannot be kept."""
    import getpass
    import time

    from fhir_server.audit.journal import Journal, JournalFailed
    from fhir_server.audit.record import Record

    if settings.audit == "off":
        return
    journal = Journal(settings.data / "audit", keys.secret("audit"))
    try:
        journal.append(
            Record(
                time.time_ns() // 1_000_000,
                asked.tenant,
                "command",
                "token",
                200,
                subject=f"operator:{getpass.getuser()}",
                client="hounsfield",
                user=asked.fhir_user or "",
                what=(f"Patient/{asked.patient}",) if asked.patient else (),
                query=(("grant_type", "operator"), ("scope", asked.scope)),
                note=asked.scope,
            )
        )
    except JournalFailed:
        raise ValueError("the audit trail cannot be written, so no token is issued") from None
    finally:
        journal.close()


async def _nothing(house: "Installation") -> None:
    """Do nothing: that the tenant is registered was all that is asked."""
    del house
