"""What every test has: the corpus, sizes, a wall around loopback, a repeatable hypothesis."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import mongod
import pytest
import stored

CORPUS = "HOUNSFIELD_CORPUS"
PROVE = os.environ.get("HOUNSFIELD_PROVE") == "1"
NO_CORPUS = f"{CORPUS} is unset: the test data are not here"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("prove", deadline=None, database=None, max_examples=2000)
hypothesis.settings.load_profile("prove" if PROVE else "ci")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of test data; skips without HOUNSFIELD_CORPUS, fails where it cannot be read."""
    named = os.environ.get(CORPUS)
    if not named:
        pytest.skip(NO_CORPUS)
    folder = Path(named)
    if not (folder / "SOURCES.md").is_file() or not os.access(folder, os.R_OK | os.X_OK):
        pytest.fail(f"{CORPUS} is set, and no test data can be read there")
    return folder


@pytest.fixture(scope="session")
def size() -> Callable[[int, int], int]:
    """Choose how much: `size(20, 2000)` is 20 in `make test` and 2000 in `make prove`."""
    return lambda small, full: full if PROVE else small


@pytest.fixture(scope="session")
def mongo_url(
    tmp_path_factory: pytest.TempPathFactory, size: Callable[[int, int], int]
) -> Iterator[str]:
    """The URL of a real replica set, without a database: of one member, in `make prove` of three."""
    with mongod.replica_set(tmp_path_factory.mktemp("mongod"), size(1, 3)) as url:
        yield url


@pytest.fixture(scope="session")
def mongo_database(mongo_url: str) -> Iterator[mongod.Database]:
    """One database that tests may empty and use one after another."""
    made = mongod.Database(stored.named(mongo_url))
    yield made
    made.drop()


class LeftLoopback(AssertionError):
    """A test wanted to reach another machine."""


def _refuse_elsewhere(address: object) -> None:
    if not isinstance(address, tuple) or not address:
        return  # a Unix socket
    host = str(address[0]).partition("%")[0]
    if host in {"", "localhost"}:
        return
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise LeftLoopback(f"a test may connect to loopback only, not to {host}")


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Refuse connections of this process to any other machine; a test that needs one is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            original: Callable[..., Any] = getattr(socket.socket, name)

            def guarded(
                self: socket.socket, address: object, original: Callable[..., Any] = original
            ) -> Any:
                _refuse_elsewhere(address)
                return original(self, address)

            patch.setattr(socket.socket, name, guarded)
        yield


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly how much was not tested for want of the corpus."""
    skipped = [r for r in terminalreporter.stats.get("skipped", ()) if NO_CORPUS in str(r.longrepr)]
    if skipped:
        terminalreporter.section("corpus", sep="!", yellow=True)
        terminalreporter.write_line(
            f"{len(skipped)} tests were NOT run: set {CORPUS} to the folder of test data"
        )
