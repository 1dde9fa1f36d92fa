"""The day as people read it: a line a step while it runs, a table of the visits at the end."""

import sys

from rich.console import Console
from rich.table import Table

from fhir_server.demo.day import Tell
from fhir_server.demo.patients import cases
from fhir_server.demo.step import PROBLEM, Day, Step

_WIDTH = 110
_COLUMNS = (
    ("Order", "order", "accession"),
    ("Images", "store", "instances"),
    ("Model", "infer", "model"),
    ("Finding", "findings", "finding"),
    ("Report", "report", "status"),
    ("Claim", "charge", "claim_status"),
)
"""Heading, step and fact of each column."""


def line(step: Step) -> str:
    """Give a step in one line: whether it held, how long it took, where to look or what was wrong."""
    mark = "ok  " if step.ok else "FAIL"
    told = step.urls[0] if step.ok and step.urls else step.facts.get(PROBLEM, "")
    return f"{mark}  {step.name:<18}{step.seconds:>7.2f} s  {' '.join(str(told).split())}"


def teller(*, quiet: bool) -> Tell:
    """Give what prints each step as it ends, or what says nothing."""

    def tell(step: Step) -> None:
        if not quiet:
            print(line(step), flush=True)

    return tell


def table(day: Day) -> Table:
    """Give the visits as a table, a dash where a step did not get there."""
    facts = {step.name: step.facts for step in day.steps if step.ok}
    made = Table(title="The demo day")
    made.add_column("Visit")
    for heading, _, _ in _COLUMNS:
        made.add_column(heading)
    for case in cases():
        cells = [
            str(facts.get(f"{case.name}-{step}", {}).get(fact, "-")) for _, step, fact in _COLUMNS
        ]
        made.add_row(case.title, *cells)
    return made


def conclude(day: Day, *, login: str = "") -> None:
    """Print the table, the sum of the steps and, where the data stay, who can log in there."""
    Console(file=sys.stdout, width=_WIDTH).print(table(day))
    held = sum(step.ok for step in day.steps)
    seconds = sum(step.seconds for step in day.steps)
    print(f"{held} of {len(day.steps)} steps held, {seconds:.1f} s, {day.base}")
    if login:
        print(login)
