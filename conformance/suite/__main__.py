"""python -m conformance.suite URL: the suite against any FHIR R4 server; 0 if all that is claimed holds."""

import argparse
import json
import os
import sys
from dataclasses import asdict

from conformance.suite.asked import NotHeld
from conformance.suite.report import ALL, run, text

_COULD_NOT = 2


def main() -> int:
    """Run the suite and print its report; 1 if a check failed, 2 if the server cannot be asked."""
    parser = argparse.ArgumentParser("conformance.suite", description=__doc__)
    parser.add_argument("base", metavar="URL", help="the FHIR base of the server")
    parser.add_argument("--token", default=os.environ.get("FHIR_TOKEN"), help="access token")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--most", type=int, default=ALL, metavar="N", help="try only so many types and parameters"
    )
    given = parser.parse_args()
    try:
        findings = list(run(given.base, token=given.token, most=given.most))
    except NotHeld as fault:
        sys.stderr.write(f"conformance.suite: {fault}\n")
        return _COULD_NOT
    told = json.dumps([asdict(f) for f in findings]) if given.json else text(findings)
    sys.stdout.write(f"{told}\n")
    return int(any(finding.verdict == "failed" for finding in findings))


if __name__ == "__main__":
    raise SystemExit(main())
