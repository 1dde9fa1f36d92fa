"""`make prove`: run the suites at full size and keep the result in docs/proof.md.

A test states what it showed with pytest's `record_property("proof", "…")`; its sentence stands in the table.
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).resolve().parent.parent
PROOF = ROOT / "docs" / "proof.md"
FULL = ("--numprocesses=2", "--dist=loadfile", "--timeout=3600")
"""As `make test` runs them, but at full size one test may take up to an hour."""


def main() -> int:
    """Run pytest with HOUNSFIELD_PROVE=1 and write the page; gives pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *FULL, *sys.argv[1:]]
        environment = {**os.environ, "HOUNSFIELD_PROVE": "1"}
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        suites = etree.parse(report).getroot()
    PROOF.write_text(page(suites), encoding="utf-8")
    print(f"wrote {PROOF.relative_to(ROOT)}")
    return status


def page(suites: etree._Element) -> str:
    """Give docs/proof.md for one JUnit report."""
    lines = ["# Proof", "", "The suites at full size, as `make prove` last ran them.", ""]
    lines += [f"- {name}: {value}" for name, value in _circumstances()]
    lines += ["", "| Suite | Tests | Failed | Skipped | Seconds |", "|---|---:|---:|---:|---:|"]
    lines += list(_table(suites))
    proofs = list(_sentences(suites))
    if proofs:
        lines += ["", "## What was shown", "", "| Test | Result |", "|---|---|", *proofs]
    return "\n".join(lines) + "\n"


def _table(suites: etree._Element) -> Iterator[str]:
    rows: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    for case in suites.iter("testcase"):
        row = rows[case.get("classname", "")]
        row[0] += 1
        row[1] += _failed(case)
        row[2] += case.find("skipped") is not None
        row[3] += float(case.get("time", "0"))
    for name, (count, failed, skipped, seconds) in sorted(rows.items()):
        yield f"| {name} | {count:.0f} | {failed:.0f} | {skipped:.0f} | {seconds:.1f} |"


def _sentences(suites: etree._Element) -> Iterator[str]:
    for case in suites.iter("testcase"):
        mark = "**failed:** " if _failed(case) else ""
        for shown in case.iterfind("properties/property[@name='proof']"):
            yield f"| `{case.get('name')}` | {mark}{shown.get('value')} |"


def _failed(case: etree._Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def _circumstances() -> Iterator[tuple[str, str]]:
    """Tell the commit, the day and the machine, by cores, memory and processor, never by name."""
    yield (
        "Commit",
        _git("rev-parse", "--short", "HEAD")
        + (" with uncommitted changes" if _git("status", "--porcelain") else ""),
    )
    yield "Day", datetime.now(UTC).date().isoformat()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    yield "Machine", f"{cores} cores, {memory:.0f} GiB memory, {_processor()}"
    yield "Python", f"{platform.python_version()} on {platform.system()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
