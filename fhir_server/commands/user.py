"""hounsfield user: who can log in."""

import json
import sys
from argparse import ArgumentParser, Namespace
from getpass import getpass
from typing import TYPE_CHECKING

from fhir_server.command import Actions, command, refused, within
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.installation import Installation
    from smart_auth.users import User


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    add = actions.add("add", "register an account; asks for its password")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--fhir-user", required=True, metavar="Practitioner/ID", help="who it is, in FHIR"
    )
    add.add_argument("--role", default="", help="what the person does, e.g. radiologist")
    add.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input",
    )
    listed = actions.add("list", "list the accounts, without passwords")
    listed.add_argument("--json", action="store_true", help="print JSON")
    remove = actions.add("remove", "remove an account, end its sessions and tokens")
    remove.add_argument("name", metavar="NAME")
    for action in (add, listed, remove):
        action.add_argument("--tenant", default="default", metavar="NAME")


@command("user", "register, list or remove who can log in", configure=_arguments)
def user(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if it is refused, with the reason on standard error."""
    match given.action:
        case "add":
            return _add(given, settings)
        case "list":
            return _list(given, settings)
        case _:
            return _remove(given, settings)


def _add(given: Namespace, settings: Settings) -> int:
    from smart_auth import users

    try:
        password = _from_stdin() if given.password_stdin else _asked()

        async def work(house: "Installation") -> "User":
            return await users.add_user(
                house.services.documents,
                given.tenant,
                given.name,
                given.fhir_user,
                password,
                given.role,
            )

        added = within(settings, work, given.tenant)
    except SettingsError:
        raise
    except (users.UserExists, ValueError) as fault:
        return refused(fault)
    print(_line(added))
    return 0


def _from_stdin() -> str:
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")


def _asked() -> str:
    """Ask twice without showing what is typed; raises ValueError where the answers differ."""
    try:
        first, second = getpass("Password: "), getpass("Again: ")
    except EOFError:
        raise ValueError("No password was given; --password-stdin reads one") from None
    if first != second:
        raise ValueError("The two passwords differ")
    return first


def _list(given: Namespace, settings: Settings) -> int:
    from smart_auth import users

    async def work(house: "Installation") -> "tuple[User, ...]":
        return await users.list_users(house.services.documents, given.tenant)

    found = within(settings, work, given.tenant)
    if given.json:
        print(
            json.dumps([{"name": u.name, "fhirUser": u.fhir_user, "role": u.role} for u in found])
        )
        return 0
    for one in found:
        print(_line(one))
    return 0


def _remove(given: Namespace, settings: Settings) -> int:
    from smart_auth import users

    async def work(house: "Installation") -> bool:
        return await users.remove_user(house.services.documents, given.tenant, given.name)

    if not within(settings, work, given.tenant):
        return refused(f"There is no user {given.name}")
    print(f"{given.name} is removed, the sessions and tokens are no longer taken")
    return 0


def _line(one: "User") -> str:
    return "  ".join(filter(None, (one.name, one.fhir_user, one.role)))
