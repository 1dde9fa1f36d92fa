"""Third-party libraries: what is imported is declared, what is declared is pinned."""

import ast
import importlib.metadata
import re
import sys

import pytest


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}


@pytest.fixture(scope="module")
def declared(project) -> set[str]:
    extras = project["project"]["optional-dependencies"]
    shipped = [line for name in ("ai", "dicom", "mongo") for line in extras[name]]
    return required(project["project"]["dependencies"] + shipped)


def imported_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_every_library_that_is_imported_is_declared(modules, packages, declared):
    owners = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in modules:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in imported_names(tree) - set(packages) - sys.stdlib_module_names:
            if not {normal(owner) for owner in owners.get(name, [name])} & declared:
                undeclared[name] = path.name
    assert undeclared == {}


def test_every_requirement_is_pinned(root, project):
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = project["project"]["optional-dependencies"]
    wanted = required(project["project"]["dependencies"] + [r for e in extras.values() for r in e])
    assert wanted <= {normal(name) for name in pins}
    assert pins["torch"] == "2.13.0"
    assert not [name for name, version in pins.items() if "+" in version]


def test_what_may_never_be_used_is_not_pinned(root):
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    pins = required([line for line in text.splitlines() if not line.startswith("#")])
    never = {
        "aiosqlite",
        "fastjsonschema",
        "google-fhir-r4",
        "hypercorn",
        "jsonschema",
        "linuxforhealth-x12",
        "mongomock",
        "motor",
        "pylibjpeg-libjpeg",
    }
    assert pins & never == set()
