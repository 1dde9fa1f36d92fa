"""Fetch the browser library that the tests drive in Chromium, out of a pinned npm package, into .servers.

It is a test dependency only: it is neither shipped nor vendored. npm itself comes with scripts/servers.sh.
"""

import sys
from pathlib import Path

from scripts.downloads import FetchError, Wanted, from_npm_package

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / ".servers" / "fhir-client.js"
PACKAGE, VERSION = "fhirclient", "2.6.3"
SHA256 = "eb76a8e9034fab4f07eb4e5ab7e0dfeabe09976fba5e2adfa5c834466d30fdce"


def main() -> int:
    """Fetch it unless it is there; gives the exit status."""
    wanted = Wanted("package/build/fhir-client.min.js", LIBRARY, SHA256)
    try:
        from_npm_package(PACKAGE, VERSION, [wanted])
    except FetchError as fault:
        print(f"   {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
