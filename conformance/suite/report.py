"""The suite run against a server, and its report (FHIR R4 http.html)."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import httpx

from conformance.suite import claims, instances, searches
from conformance.suite.asked import Check, Finding, NotHeld, Server

ALL = 1_000_000


def checks(most: int = ALL) -> tuple[Check, ...]:
    """Give every check in order; `most` limits how many types and parameters are tried."""
    return (*claims.checks(most), *instances.CHECKS, *searches.CHECKS)


def run(
    base: str,
    *,
    token: str | None = None,
    most: int = ALL,
    transport: httpx.BaseTransport | None = None,
) -> Iterator[Finding]:
    """Run the suite against a FHIR base URL, giving each finding; what was created is deleted at the end.

    Raises NotHeld where /metadata cannot be had.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    settings: dict[str, Any] = {"headers": headers, "timeout": 60, "follow_redirects": True}
    with httpx.Client(**settings, transport=transport) as client:
        server = Server(base.rstrip("/"), client)
        server.statement = server.want({200}, "GET", "metadata")[1]
        try:
            for check in checks(most):
                yield check(server)
        finally:
            for place in reversed(server.made):
                with suppress(NotHeld):
                    server.ask("DELETE", place)


def text(findings: Sequence[Finding]) -> str:
    """Give the report for a person: a line a check, and the counts."""
    marks = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}
    lines = []
    for finding in findings:
        why = f": {finding.reason}" if finding.reason else ""
        lines.append(f"{marks[finding.verdict]}  {finding.name} ({finding.page}){why}")
    counts = [f"{sum(f.verdict == v for f in findings)} {v}" for v in marks]
    return "\n".join([*lines, ", ".join(counts)])
