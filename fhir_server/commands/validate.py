"""hounsfield validate: one OperationOutcome a resource; 0 without errors, 1 with, 2 if it could not run."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import COULD_NOT, command, nothing_yet, within
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from conformance.profile.checked import ProfileChecks
    from fhir_server.files import Found
    from fhir_server.installation import Installation
    from resources.outcome import Issue

Checks = Callable[[Sequence[str]], Awaitable["ProfileChecks"]]
"""Gives the checks with all that these canonicals draw on."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="NDJSON, resource or folder"
    )
    parser.add_argument(
        "--profile",
        metavar="URL",
        help="validate against a profile too, one that is shipped or that the data folder holds",
    )
    parser.add_argument(
        "--json", action="store_true", help="print each OperationOutcome as one JSON line"
    )


@command(
    "validate",
    "check resources against R4 and the profiles that they claim",
    takes="data store",
    configure=_arguments,
)
def validate(given: Namespace, settings: Settings) -> int:
    """Validate each resource of the files; what is not known of a profile is a warning."""
    from fhir_server.files import files

    try:
        found = files(given.paths)
    except FileNotFoundError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return COULD_NOT
    if nothing_yet(settings):
        import asyncio

        return asyncio.run(_validated(given, found, _shipped()))

    async def work(house: "Installation") -> int:
        return await _validated(given, found, _of(house))

    return within(settings, work)


def _shipped() -> Checks:
    """Give the checks against profiles that come with the program; there is no data folder."""
    from conformance.canonicals import Canonicals, shipped
    from conformance.profile.checked import ProfileChecks
    from resources import definitions

    held = ProfileChecks(definitions.load(), Canonicals(shipped()))

    async def checks(_: Sequence[str]) -> "ProfileChecks":
        return held

    return checks


def _of(house: "Installation") -> Checks:
    """Give the checks against profiles that the data folder holds, those of its packages among them."""
    from fhir_server import tenancy
    from fhir_server.interactions.profiles import TenantProfiles

    context, profiles = house.ours(tenancy.DEFAULT), TenantProfiles(house.settings.claimed_profiles)

    async def checks(canonicals: Sequence[str]) -> "ProfileChecks":
        return await profiles.checks(context, canonicals)

    return checks


async def _validated(given: Namespace, found: list[Path], checks: Checks) -> int:
    """Check the resources of the files one by one; gives the exit status."""
    from conformance.profile import whole
    from conformance.validate import Validator
    from fhir_server.files import resources
    from resources import definitions

    base = Validator(definitions.load()).check
    named = given.profile or ""
    wrong = False
    for one in (held for path in found for held in resources(path)):
        issues: tuple[Issue, ...] = ()
        if one.resource is not None:
            held = await checks(whole.drawn_on(one.resource, named))
            issues = whole.issues(one.resource, base, held, named)
        wrong |= _tell(given, one, issues)
    return int(wrong)


def _tell(given: Namespace, one: "Found", found: "tuple[Issue, ...]") -> bool:
    """Print the outcome of one resource; tells whether it has an error."""
    from resources.model import serialise
    from resources.outcome import Issue, operation_outcome

    if one.resource is None:
        issues: tuple[Issue, ...] = (Issue("fatal", "structure", one.problem),)
    else:
        issues = found or (Issue("information", "informational", "No issue"),)
    if given.json:
        print(serialise(operation_outcome(issues)).decode())
    else:
        for issue in issues:
            where = f" at {issue.expression}" if issue.expression else ""
            print(f"{one.path}:{one.place}: {issue.severity}{where}: {issue.diagnostics}")
    return any(issue.severity in {"error", "fatal"} for issue in issues)
