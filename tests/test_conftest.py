"""The suite's own rules hold: the wall, the corpus, what is told about skips."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
USES_CORPUS = "def test_reads(corpus):\n    assert corpus\n"


def test_a_connection_to_another_machine_is_refused():
    with socket.socket() as outside:
        with pytest.raises(AssertionError) as refusal:
            outside.connect(("192.0.2.1", 80))
    assert "loopback only" in str(refusal.value)


async def test_a_connection_by_asyncio_to_another_machine_is_refused():
    with pytest.raises(AssertionError, match="loopback only"):
        await asyncio.open_connection("192.0.2.1", 80)


def test_a_connection_to_loopback_is_let_through():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as inside:
            assert inside.getpeername() == server.getsockname()


def run_pytest(folder: Path, corpus: str | None) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(USES_CORPUS)
    environment = {k: v for k, v in os.environ.items() if k != "HOUNSFIELD_CORPUS"}
    environment["PYTHONPATH"] = str(CONFTEST.with_name("support"))
    if corpus is not None:
        environment["HOUNSFIELD_CORPUS"] = corpus
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        folder,
        folder,
    ]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


def test_without_a_corpus_its_tests_are_skipped_and_counted(tmp_path):
    ran = run_pytest(tmp_path, None)
    assert ran.returncode == 0
    assert "1 tests were NOT run: set HOUNSFIELD_CORPUS" in ran.stdout


def test_a_corpus_that_cannot_be_read_fails(tmp_path):
    ran = run_pytest(tmp_path, str(tmp_path / "absent"))
    assert ran.returncode == 1
    assert "no test data can be read there" in ran.stdout


def test_a_corpus_that_is_there_is_given(tmp_path):
    (tmp_path / "SOURCES.md").write_text("where it is from")
    assert run_pytest(tmp_path, str(tmp_path)).returncode == 0
