"""hounsfield token: an access token signed by this installation, for operators and development."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server import tenancy
from fhir_server.command import command, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.installation import Installation


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
    from smart_auth.smart import OperatorToken, mint

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
        print(mint(KeyRing(folder), asked))
    except SettingsError:
        raise
    except (ValueError, UnsafeKeys) as fault:
        return refused(fault)
    return 0


async def _nothing(house: "Installation") -> None:
    """Do nothing: that the tenant is registered was all that is asked."""
    del house
