"""hounsfield validate: one OperationOutcome a resource; 0 without errors, 1 with, 2 if it could not run."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import command
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.files import Found
    from resources.model import Resource
    from resources.outcome import Issue

_COULD_NOT = 2


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="NDJSON, resource or folder"
    )
    parser.add_argument("--profile", metavar="URL", help="validate against a profile too")
    parser.add_argument(
        "--json", action="store_true", help="print each OperationOutcome as one JSON line"
    )


@command("validate", "check resources against R4", configure=_arguments)
def validate(given: Namespace, settings: Settings) -> int:
    """Validate each resource of the files."""
    del settings
    from conformance.validate import Validator
    from fhir_server.files import files, resources
    from resources import definitions

    if given.profile:
        print("hounsfield: profiles are not validated in this version", file=sys.stderr)
        return _COULD_NOT
    try:
        found = files(given.paths)
    except FileNotFoundError as fault:
        print(f"hounsfield: {fault}", file=sys.stderr)
        return _COULD_NOT
    validator = Validator(definitions.load())
    wrong = [_tell(given, one, validator.check) for path in found for one in resources(path)]
    return int(any(wrong))


def _tell(given: Namespace, one: "Found", check: "Callable[[Resource], tuple[Issue, ...]]") -> bool:
    """Print the outcome of one resource; tells whether it has an error."""
    from resources.model import serialise
    from resources.outcome import Issue, operation_outcome

    if one.resource is None:
        issues: tuple[Issue, ...] = (Issue("fatal", "structure", one.problem),)
    else:
        issues = check(one.resource) or (Issue("information", "informational", "No issue"),)
    if given.json:
        print(serialise(operation_outcome(issues)).decode())
    else:
        for issue in issues:
            where = f" at {issue.expression}" if issue.expression else ""
            print(f"{one.path}:{one.place}: {issue.severity}{where}: {issue.diagnostics}")
    return any(issue.severity in {"error", "fatal"} for issue in issues)
