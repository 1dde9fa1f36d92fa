"""The tree that the architecture tests read."""

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def project() -> dict:
    """pyproject.toml, parsed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def packages(project) -> list[str]:
    """The seven import packages, as the wheel names them."""
    return project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.fixture(scope="session")
def modules(packages) -> list[Path]:
    """Every module of the seven packages."""
    return sorted(path for name in packages for path in (ROOT / name).rglob("*.py"))


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Every file that git tracks or would track, those of ignored folders left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())
