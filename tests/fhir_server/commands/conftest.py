"""The command line run in this process over a folder of its own, and one real server beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from joserfc.jwk import ECKey
from served import Served
from v2 import segment, text

from fhir_server.cli import main


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def hounsfield(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder without settings from outside."""
    for name in [name for name in os.environ if name.startswith("HOUNSFIELD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server with SMART and MLLP; its data folder is `served.data`."""
    server = Served(tmp_path_factory.mktemp("served") / "data", auth="smart")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def signing_key():
    """A client's private key."""
    return ECKey.generate_key("P-384", {"kid": "k1"})


@pytest.fixture
def message():
    """Give an ADT^A04 with a control id, of a type that may be another."""

    def make(control_id="C1", type_="ADT^A04^ADT_A01"):
        return text(
            segment("MSH", f3="ADT", f4="HOSP", f7="20260106134418", f9=type_,
                    f10=control_id, f11="P", f12="2.5.1"),
            segment("EVN", f1="A04", f2="20260106134400"),
            segment("PID", f1="1", f3=f"{control_id}^^^HOSP^MR", f5="ZIMT^JANE", f7="19790328"),
            segment("PV1", f1="1", f2="O", f19=f"V{control_id}^^^HOSP^VN", f44="20260106134000"),
        )  # fmt: skip

    return make


@pytest.fixture
def file(tmp_path):
    """Write bytes to a file and give its path."""

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write
