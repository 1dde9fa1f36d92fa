"""What the documents tell a person to type exists, and every link inside them leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CONTRACT = {"install", "run", "demo", "test", "check", "prove", "bench", "clean"}


def commands(page: Path) -> list[str]:
    """Give the lines of the page's shell blocks, and its words in backticks, without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", text)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return [line for page in PAGES for line in commands(page)]


@pytest.fixture(scope="module")
def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def test_every_make_target_that_is_told_exists(told, targets):
    named = {m[1] for line in told if (m := re.match(r"make ([a-z]+)\b", line))}
    assert named
    assert named <= targets


def test_the_contract_s_targets_exist_and_each_says_what_it_does(targets):
    assert targets >= CONTRACT
    ran = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in CONTRACT:
        assert re.search(rf"^\s+make {target}\s+\w", ran.stdout, flags=re.MULTILINE)


def test_every_subcommand_that_is_told_exists(told):
    command = [sys.executable, "-m", "fhir_server", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    offered = set(re.findall(r"[a-z]+", ran.stdout))
    pattern = r"(?:\.venv/bin/)?hounsfield ([a-z]+)\b"
    named = {m[1] for line in told if (m := re.match(pattern, line))}
    assert named
    assert named <= offered


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages - {"index.md"} if f"({page})" not in index} == set()
