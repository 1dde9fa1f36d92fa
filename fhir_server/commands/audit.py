"""hounsfield audit: the proof that nothing of the audit trail was changed, removed or put in."""

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fhir_server.command import Actions, command, refused, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.audit.verify import Verified
    from fhir_server.installation import Installation


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    verify = actions.add(
        "verify", "prove the chain of every journal file, with what the store keeps"
    )
    verify.add_argument("--json", action="store_true", help="print JSON")


@command("audit", "prove the audit trail", configure=_arguments)
def audit(given: Namespace, settings: Settings) -> int:
    """Print how much was proved, or every fault on a line of its own; 1 if there is one."""

    async def work(house: "Installation") -> "Verified | None":
        return await house.audit.verify() if house.audit is not None else None

    found = within(settings, work)
    if found is None:
        return refused("the audit trail is off")
    if given.json:
        faults = list(found.faults)
        print(json.dumps({"files": found.files, "records": found.records, "faults": faults}))
    else:
        for fault in found.faults:
            print(f"wrong: {fault}")
        if not found.faults:
            print(f"ok: {found.records} lines in {found.files} file(s) follow from each other")
    return int(bool(found.faults))
