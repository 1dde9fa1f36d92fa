"""The wheel is whole: seven packages, their types and data, no tests; it runs away from the checkout."""

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resources.definitions import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, *options, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with nothing but the unpacked wheel."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_it_holds_the_seven_packages_and_nothing_else(names, packages):
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(packages)


def test_each_package_is_real_and_typed(names, packages):
    for name in packages:
        assert {f"{name}/__init__.py", f"{name}/py.typed"} <= names


def test_every_module_and_data_file_of_the_tree_is_in_it(names, packages, tracked):
    here = {str(path.relative_to(ROOT)) for path in tracked}
    assert {name for name in here if name.split("/")[0] in packages} <= names


def test_the_definitions_are_read_from_the_wheel(site, tmp_path):
    code = (
        "import resources; from resources.definitions import load; "
        "print(resources.__file__); print(len(load().resource_types))"
    )
    ran = run(site, tmp_path, "-c", code)
    assert ran.returncode == 0, ran.stderr
    where, count = ran.stdout.split()
    assert Path(where).is_relative_to(site)
    assert int(count) == len(load().resource_types)


def test_the_command_runs_from_the_wheel_in_another_folder(site, tmp_path):
    ran = run(site, tmp_path, "-m", "fhir_server", "settings")
    assert ran.returncode == 0, ran.stderr
    assert "HOUNSFIELD_PORT" in ran.stdout or "port" in ran.stdout


def test_each_top_level_name_has_one_owner(packages):
    owners = importlib.metadata.packages_distributions()
    for name in packages:
        assert set(owners.get(name, ["hounsfield"])) == {"hounsfield"}


def test_no_package_of_tests_shadows_ours():
    assert list((ROOT / "tests").rglob("__init__.py")) == []
