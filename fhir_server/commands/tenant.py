"""hounsfield tenant: whose data this installation keeps apart."""

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server import tenancy
from fhir_server.command import Actions, command, refused, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.installation import Installation


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    add = actions.add("add", "register a tenant; its doors open below /t/NAME")
    add.add_argument("name", metavar="NAME", help="lower-case letters, digits and '-', at most 63")
    chosen = actions.add("set", "override a setting for one tenant")
    chosen.add_argument("name", metavar="NAME", help="the tenant; `default` is one")
    chosen.add_argument(
        "--claimed-profiles",
        required=True,
        choices=("off", "report", "reject", "inherit"),
        help="what is done about profiles that resources claim; inherit: as the setting says",
    )
    listed = actions.add("list", "list the tenants")
    listed.add_argument("--json", action="store_true", help="print JSON")


@command("tenant", "register, set or list tenants", configure=_arguments)
def tenant(given: Namespace, settings: Settings) -> int:
    """Do the action; 1 if it is refused, with the reason on standard error."""
    match given.action:
        case "add":
            return _add(given, settings)
        case "set":
            return _set(given, settings)
        case _:
            return _list(given, settings)


def _set(given: Namespace, settings: Settings) -> int:
    from fhir_server.interactions.profiles import CLAIMED, SETTINGS

    async def work(house: "Installation") -> None:
        documents = house.services.documents
        if given.claimed_profiles == "inherit":
            await documents.delete(given.name, SETTINGS, CLAIMED)
        else:
            await documents.put(given.name, SETTINGS, CLAIMED, given.claimed_profiles.encode())

    within(settings, work, given.name, begins=True)
    print(f"{given.name}  claimed profiles: {given.claimed_profiles}")
    return 0


def _add(given: Namespace, settings: Settings) -> int:
    name = given.name
    if not tenancy.well_formed(name):
        return refused("A tenant's name is lower-case letters, digits and '-', at most 63")

    async def work(house: "Installation") -> bool:
        services = house.services
        value = json.dumps({"created": services.clock()}).encode()
        written = await services.documents.put(
            tenancy.DEFAULT, tenancy.TENANTS, name, value, revision=0
        )
        return written is not None

    if name == tenancy.DEFAULT or not within(settings, work, begins=True):
        return refused(f"There is already a tenant {name}")
    print(_line(name))
    return 0


def _list(given: Namespace, settings: Settings) -> int:
    names = [tenancy.DEFAULT, *within(settings, _names)]
    if given.json:
        print(json.dumps([{"name": n, "fhir": f"{tenancy.path(n)}/fhir"} for n in names]))
        return 0
    for name in names:
        print(_line(name))
    return 0


async def _names(house: "Installation") -> list[str]:
    names: list[str] = []
    documents = house.services.documents
    while page := await documents.list(
        tenancy.DEFAULT, tenancy.TENANTS, after=names[-1] if names else ""
    ):
        names.extend(document.key for document in page)
    return names


def _line(name: str) -> str:
    return f"{name}  {tenancy.path(name)}/fhir"
