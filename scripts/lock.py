"""Write constraints.txt: one pinned version of everything that any extra needs.

`python scripts/lock.py` keeps the versions that are pinned and adds what is missing; with `--upgrade`
each gets the newest that pyproject.toml allows. It resolves without installing, by pip's own report.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "constraints.txt"
HEAD = """\
# Every version that set-up installs, whatever needs it. Written by `make lock`; change pyproject.toml.
"""


def resolve(*, upgrade: bool) -> dict[str, str]:
    """Give the version of each distribution that all extras need together, by its normal name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--no-build-isolation", "--report", str(report)]
        if LOCK.exists() and not upgrade:
            command += ["--constraint", str(LOCK)]
        subprocess.run([*command, f"{ROOT}[ai,dicom,mongo,test]"], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    pins = {normal(entry["metadata"]["name"]): entry["metadata"]["version"] for entry in found}
    pins.pop("hounsfield")
    return pins


def normal(name: str) -> str:
    """Give a distribution's name in the form that comparisons use (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Resolve and write the file; a local build's suffix (+cpu) is not part of a pin."""
    pins = resolve(upgrade="--upgrade" in sys.argv)
    lines = [f"{name}=={version.split('+', maxsplit=1)[0]}\n" for name, version in pins.items()]
    LOCK.write_text(HEAD + "".join(sorted(lines)), encoding="utf-8")
    print(f"constraints.txt pins {len(lines)} distributions")


if __name__ == "__main__":
    main()
