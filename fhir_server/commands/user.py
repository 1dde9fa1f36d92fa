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
    add.add_argument(
        "--second-factor",
        action="store_true",
        help="the account needs an authenticator app, which is set up at the first login",
    )
    factor = actions.add("second-factor", "demand a second factor, or take a lost one away")
    factor.add_argument("name", metavar="NAME")
    which = factor.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--require", action="store_true", help="from now on the password is not enough"
    )
    which.add_argument("--reset", action="store_true", help="forget the app and the recovery codes")
    listed = actions.add("list", "list the accounts, without passwords")
    listed.add_argument("--json", action="store_true", help="print JSON")
    remove = actions.add("remove", "remove an account, end its sessions and tokens")
    remove.add_argument("name", metavar="NAME")
    for action in (add, factor, listed, remove):
        action.add_argument("--tenant", default="default", metavar="NAME")


@command("user", "register, list or remove who can log in", configure=_arguments)
def user(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if it is refused, with the reason on standard error."""
    match given.action:
        case "add":
            return _add(given, settings)
        case "list":
            return _list(given, settings)
        case "second-factor":
            return _second_factor(given, settings)
        case _:
            return _remove(given, settings)


def _add(given: Namespace, settings: Settings) -> int:
    from smart_auth import users

    try:
        _refuse_unknown(given.role, settings)
        password = _from_stdin() if given.password_stdin else _asked()

        async def work(house: "Installation") -> "User":
            documents = house.services.documents
            made = await users.add_user(
                documents, given.tenant, given.name, given.fhir_user, password, given.role
            )
            if given.second_factor:
                await users.demand_second_factor(documents, given.tenant, given.name)
            return made

        added = within(settings, work, given.tenant, begins=True)
    except SettingsError:
        raise
    except (users.UserExists, ValueError) as fault:
        return refused(fault)
    print(_line(added))
    return 0


def _refuse_unknown(role: str, settings: Settings) -> None:
    """Refuse a role that the file of roles does not have; raises ValueError."""
    from smart_auth import roles

    known = roles.load(settings.roles)
    if role and role not in known:
        raise ValueError(f"There is no such role; there are {', '.join(sorted(known))}")


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


def _second_factor(given: Namespace, settings: Settings) -> int:
    from smart_auth import users

    async def work(house: "Installation") -> bool:
        documents, tenant = house.services.documents, given.tenant
        if given.require:
            return await users.demand_second_factor(documents, tenant, given.name) is not None
        user = await house.smart.users.get(tenant, given.name)
        return user is not None and await house.smart.factors.remove(tenant, user.sub)

    if not within(settings, work, given.tenant):
        return refused(f"There is no user {given.name}, or no second factor to forget")
    told = "needs a second factor from now on" if given.require else "has no second factor now"
    print(f"{given.name} {told}")
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
