"""The import contracts of pyproject.toml hold, and a violation of each is caught by name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# contract → the module to plant, and the line that offends
VIOLATIONS = {
    "Requests flow down, never up": [
        ("resources/planted.py", "import fhir_server.access"),
        ("fhir_server/interactions/planted.py", "import operations"),
        ("fhir_server/search/planted.py", "import fhir_server.store.port"),
        ("smart_auth/planted.py", "import dicomweb_bridge"),
        ("fhir_server/http/planted.py", "import fhir_server.app"),
    ],
    "Only the composition root names a store adapter": [
        ("fhir_server/interactions/planted.py", "import fhir_server.store.sqlite"),
        ("operations/planted.py", "from fhir_server.store import sqlite"),
        ("smart_auth/planted.py", "import fhir_server.store.mongo"),
        ("fhir_server/jobs/planted.py", "import fhir_server.store.memory"),
    ],
    "Store adapters know the port and not each other": [
        ("fhir_server/store/sqlite/planted.py", "import fhir_server.store.mongo"),
        ("fhir_server/store/mongo/planted.py", "import fhir_server.store.sqlite"),
    ],
    "The resource layer is pure": [
        ("resources/planted.py", "import httpx"),
        ("resources/authored/planted.py", "import asyncio"),
        ("resources/planted.py", "def late():\n    import sqlite3\n    return sqlite3"),
    ],
    "Only the edges know HTTP frameworks": [
        ("fhir_server/interactions/planted.py", "from starlette.requests import Request"),
        ("operations/planted.py", "import fastapi"),
        ("ai_observations/planted.py", "import uvicorn"),
    ],
    "Only store adapters and the archive know databases": [
        ("operations/planted.py", "import apsw"),
        ("smart_auth/planted.py", "import pymongo"),
    ],
    "Only the AI package loads torch": [
        ("dicomweb_bridge/planted.py", "import torch"),
        ("fhir_server/http/planted.py", "def late():\n    import torch\n    return torch"),
    ],
}
CASES = [(name, *case) for name, cases in VIOLATIONS.items() for case in cases]


@pytest.fixture
def copy(tmp_path, packages, project) -> Path:
    """The tree's modules and contracts, to plant in; absent modules that contracts name are made."""
    ignore = shutil.ignore_patterns("__pycache__", "data", "*.json", "*.gz")
    for name in packages:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module in ("app", "store/sqlite", "store/mongo", "store/memory"):
        path = tmp_path / "fhir_server" / module
        if not path.is_dir() and not path.with_suffix(".py").exists():
            path.mkdir()
            (path / "__init__.py").touch()
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("lint-imports"))
    command = [program, "--config", "pyproject.toml", "--no-cache"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def broken(ran: subprocess.CompletedProcess[str]) -> set[str]:
    """Give the names of the contracts that the run reports as broken."""
    return set(re.findall(r"^(.*\S)\s+BROKEN$", ran.stdout, flags=re.MULTILINE))


def test_every_contract_holds():
    ran = lint_imports(ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("contract", "module", "line"), CASES)
def test_a_planted_violation_is_caught(copy, contract, module, line):
    planted = copy / module
    assert planted.parent.is_dir()
    planted.write_text(f'"""Planted."""\n\n{line}\n')
    ran = lint_imports(copy)
    assert ran.returncode != 0
    assert contract in broken(ran), ran.stdout + ran.stderr


def test_each_contract_has_a_planted_violation(project):
    contracts = {contract["name"] for contract in project["tool"]["importlinter"]["contracts"]}
    assert contracts == set(VIOLATIONS)


def test_every_store_adapter_is_known_to_the_composition_root_only(project):
    contracts = project["tool"]["importlinter"]["contracts"]
    (protected,) = [c["protected_modules"] for c in contracts if c["type"] == "protected"]
    found = {
        f"fhir_server.*.{path.stem}"
        for path in (ROOT / "fhir_server/store").iterdir()
        if (path / "__init__.py").exists() or path.stem == "memory"
    }
    assert set(protected) >= found


def test_every_module_of_the_server_has_a_layer(project):
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    found = {
        f"fhir_server.{path.stem}"
        for path in (ROOT / "fhir_server").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - placed == {"fhir_server.__init__"} | (found & {"fhir_server.__main__"})
