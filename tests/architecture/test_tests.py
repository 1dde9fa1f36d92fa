"""What every test keeps to: it says what must hold where it can be read, and is never left out unseen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = {"pytest.raises", "pytest.fail"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in found
    }


def calls(node: ast.AST) -> Iterator[str]:
    """The names of what is called: `f` and `module.f`."""
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
            yield one.func.id
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            yield f"{getattr(one.func.value, 'id', '')}.{one.func.attr}"


def is_test(node: ast.AST) -> bool:
    """Whether a function is a test, or the check of a row in a table of demands (tests/support/musts.py)."""
    declared = [name for one in getattr(node, "decorator_list", ()) for name in calls(one)]
    return isinstance(node, Function) and (node.name.startswith("test_") or "must" in declared)


def claims_something(test: ast.AST) -> bool:
    """Whether a test asserts; one that runs the rows of a table leaves that to their checks."""
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(test))
    return asserts or any(name in CLAIMS or name == "row.check" for name in calls(test))


def test_every_test_asserts_something(trees):
    tests = [
        (name, node) for name, tree in trees.items() for node in ast.walk(tree) if is_test(node)
    ]
    silent = [
        f"{name}:{node.lineno} {node.name}" for name, node in tests if not claims_something(node)
    ]
    assert len(tests) > 1000
    assert silent == []


def test_no_test_is_left_out_because_a_package_is_missing(trees):
    found = [name for name, tree in trees.items() if "pytest.importorskip" in set(calls(tree))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("def test_a():\n    f()", False),
        ("def test_a():\n    assert f()", True),
        ("async def test_a():\n    with pytest.raises(E):\n        f()", True),
        ('@must("RFC", "1", "a demand")\nasync def a_demand(world):\n    refused(world)', False),
        ("def f():\n    return 1", None),
    ],
)
def test_a_test_that_asserts_nothing_is_told(text, claims):
    (node,) = ast.parse(text).body
    assert (claims_something(node) if is_test(node) else None) == claims
