"""hounsfield keys: the keys that sign tokens, listed or rotated (RFC 7517)."""

import datetime as dt
from argparse import ArgumentParser, Namespace

from fhir_server.command import Actions, command, refused
from fhir_server.settings import Settings, SettingsError


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    actions.add(
        "list", "list the keys by the day they were made, and which of them sign", takes="data"
    )
    actions.add("rotate", "make a new signing key; tokens of the old one stay good", takes="data")


@command("keys", "list or rotate the keys that sign tokens", configure=_arguments)
def keys(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if the keys cannot be used, with the reason on standard error.

    A server that runs signs with a new key within a second.
    """
    from smart_auth.keys import KeyRing, UnsafeKeys

    if given.action == "list" and not (settings.data / "keys").exists():
        raise SettingsError(f"data: there are no keys in {settings.data}")
    try:
        ring = KeyRing(settings.data / "keys")
        if given.action == "rotate":
            print(ring.rotate())
            return 0
    except UnsafeKeys as fault:
        return refused(fault)
    except OSError as fault:
        raise SettingsError(f"data: {settings.data} cannot be used: {fault.strerror}") from None
    for kid, made in ring.ages.items():
        day = dt.datetime.fromtimestamp(made / 1_000, dt.UTC).date()
        print(f"{kid}  {day}" + ("  signs" if kid in {ring.kid, ring.access.kid} else ""))
    return 0
