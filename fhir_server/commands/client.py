"""hounsfield client: SMART apps and backend services, registered, listed, removed (RFC 7591's words)."""

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server.command import Actions, command, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.installation import Installation
    from smart_auth.clients import Client, Registration


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    add = actions.add("add", "register an app or a service; a generated secret is printed once")
    add.add_argument("--id", required=True, metavar="ID", help="the client id")
    add.add_argument("--name", default="", help="what users are shown; by default the id")
    add.add_argument(
        "--redirect-uri", action="append", default=[], metavar="URI", help="where codes may be sent"
    )
    add.add_argument("--scope", default="", help="all that it may ask for, separated by spaces")
    kind = add.add_mutually_exclusive_group()
    kind.add_argument(
        "--public", action="store_true", help="an app that can keep no secret (the default)"
    )
    kind.add_argument("--secret", action="store_true", help="an app on a server: makes a secret")
    kind.add_argument(
        "--jwks", metavar="FILE|URL", help="a client that signs assertions: its public keys"
    )
    add.add_argument("--launch-uri", metavar="URI", help="where an EHR opens the app")
    add.add_argument(
        "--launches",
        action="store_true",
        help="it is an EHR: it may launch apps (POST /auth/launch)",
    )
    listed = actions.add("list", "list the clients, without secrets")
    remove = actions.add("remove", "remove a client and end its tokens")
    remove.add_argument("id", metavar="ID")
    invite = actions.add("invite", "print a token with which one client may register itself")
    for action in (add, listed, remove, invite):
        action.add_argument("--tenant", default="default", metavar="NAME")
    for action in (add, listed):
        action.add_argument("--json", action="store_true", help="print JSON")


@command("client", "register, list or remove SMART apps and services", configure=_arguments)
def client(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if it is refused, with the reason on standard error."""
    match given.action:
        case "add":
            return _add(given, settings)
        case "list":
            return _list(given, settings)
        case "invite":
            return _invite(given, settings)
        case _:
            return _remove(given, settings)


def _add(given: Namespace, settings: Settings) -> int:
    from smart_auth import clients
    from smart_auth.registration import information

    try:
        registration = _registration(given)

        async def work(house: "Installation") -> "tuple[Client, str | None]":
            return await clients.add_client(house.services.documents, given.tenant, registration)

        added, secret = within(settings, work, given.tenant, begins=True)
    except SettingsError:
        raise
    except (clients.ClientExists, ValueError) as fault:
        return refused(fault)
    told = {**information(added), **({"client_secret": secret} if secret else {})}
    if given.json:
        print(json.dumps(told))
        return 0
    print(_line(added))
    if secret:
        print(f"secret: {secret}\nIt is not kept and cannot be shown again.")
    return 0


def _registration(given: Namespace) -> "Registration":
    """Give what was asked for; raises ValueError where the keys cannot be read."""
    from smart_auth import clients

    return clients.Registration(
        given.id,
        "asymmetric" if given.jwks else "secret" if given.secret else "public",
        given.name,
        tuple(given.redirect_uri),
        given.scope,
        clients.read_keys(given.jwks) if given.jwks else None,
        given.launch_uri,
        given.launches,
    )


def _list(given: Namespace, settings: Settings) -> int:
    from smart_auth import clients
    from smart_auth.registration import information

    async def work(house: "Installation") -> "tuple[Client, ...]":
        return await clients.list_clients(house.services.documents, given.tenant)

    found = within(settings, work, given.tenant)
    if given.json:
        print(json.dumps([information(one) for one in found]))
        return 0
    for one in found:
        print(_line(one))
    return 0


def _invite(given: Namespace, settings: Settings) -> int:
    from smart_auth import registration

    async def work(house: "Installation") -> str:
        return await registration.invite(house.services.documents, given.tenant)

    print(within(settings, work, given.tenant, begins=True))
    return 0


def _remove(given: Namespace, settings: Settings) -> int:
    from smart_auth import clients

    async def work(house: "Installation") -> bool:
        return await clients.remove_client(house.services.documents, given.tenant, given.id)

    if not within(settings, work, given.tenant):
        return refused(f"There is no client {given.id}")
    print(f"{given.id} is removed, its tokens are no longer taken")
    return 0


def _line(one: "Client") -> str:
    return "  ".join((one.id, one.kind, one.name, one.scopes, *one.redirect_uris))
