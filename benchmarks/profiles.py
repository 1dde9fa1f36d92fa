"""`python -m benchmarks.profiles`: what a check against US Core's profiles costs beside base validation.

HOUNSFIELD_CORPUS names the folder of test data; each figure is the least of several runs, in µs of CPU.
"""

import argparse
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Final

from benchmarks.validation import cost
from conformance import packages
from conformance.canonicals import Canonicals, Opened, shipped
from conformance.profile.checked import ProfileChecks, claimed
from resources import definitions, model

BUDGET: Final = 400
_TYPES: Final = frozenset({"Patient", "Observation"})


def figures(corpus: Path, version: str) -> dict[str, float]:
    """Give the cost of each example of Patient and Observation against its first profile."""
    folder = corpus / "us-core"
    pack = packages.read((folder / f"hl7.fhir.us.core-{version}-definitions.tgz").read_bytes())
    held = (*shipped(), Opened(pack.manifest, lambda: pack.content))
    checks = ProfileChecks(definitions.load(), Canonicals(held))
    found = {}
    with gzip.open(folder / f"examples-{version}-dev.ndjson.gz") as file:
        for resource in map(model.parse, file):
            profiles = claimed(resource)[:1]
            if resource["resourceType"] in _TYPES and profiles:
                checks.check(resource, profiles)
                name = f"{resource['resourceType']}/{resource['id']}"
                found[name] = cost(lambda r=resource, p=profiles: checks.check(r, p), 50)  # type: ignore[misc]
    return found


def main() -> int:
    """Print the figures, and fail where the middle one is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default="6.1.0", help="of US Core: 6.1.0 or 8.0.0")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = figures(Path(os.environ["HOUNSFIELD_CORPUS"]), given.version)
    middle = sorted(found.values())[len(found) // 2]
    if given.json:
        print(json.dumps({"middle": middle, "figures": found}))
    else:
        for name, figure in sorted(found.items(), key=lambda one: one[1]):
            print(f"{name:<48}{figure:>10.1f} µs")
        print(f"{'middle':<48}{middle:>10.1f} µs   at most {BUDGET}")
    return int(middle > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
