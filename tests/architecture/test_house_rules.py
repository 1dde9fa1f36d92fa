"""What every module keeps to: sizes, names, docstrings, one declaration a module, four broad excepts."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CEILING = 400
SEEN_AT_ONCE = 8  # lines of a function in a function
FORBIDDEN = re.compile(
    r"(^|_)(manager|helper|util|processor|handler|base|impl|engine|dto|endpoint)s?$", re.IGNORECASE
)
FHIR_WORDS = {"endpoint", "Endpoint"}  # a resource type of that name
WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# folder → what each of its modules declares exactly once
DECLARED = {
    "operations": ("operation",),
    "fhir_server/commands": ("command",),
    "fhir_server/search/modifiers": ("modifier",),
    "fhir_server/hl7v2/messages": ("message_map",),
    "ai_observations/models": ("imaging_model",),
}
# where the declaration's own type lives, and rules that stand beside the operations
NOT_DECLARATIONS = {"operations/operation.py"}


@pytest.fixture(scope="module")
def trees(modules) -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in modules
    }


def test_a_module_over_400_lines_has_a_decision_record(modules):
    records = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs/adr").glob("*.md"))
    long = {
        str(path.relative_to(ROOT)): lines
        for path in modules
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > CEILING
    }
    assert {name: lines for name, lines in long.items() if name not in records} == {}


def test_no_module_or_class_has_a_name_that_says_nothing(trees):
    named = {f"{name}: {Path(name).stem}": Path(name).stem for name in trees}
    for name, tree in trees.items():
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        named |= {f"{name}: {found}": "_".join(WORD.split(found)) for found in classes}
    wrong = [k for k, word in named.items() if FORBIDDEN.search(word) and word not in FHIR_WORDS]
    assert wrong == []


def test_every_module_class_and_public_function_says_what_it_is(trees):
    silent = []
    for name, tree in trees.items():
        if not ast.get_docstring(tree) and tree.body:
            silent.append(name)
        for node in tree.body:
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if not isinstance(node, kinds) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                silent.append(f"{name}: {node.name}")
    assert silent == []


def inner_functions(node: ast.AST, *, inside: bool = False) -> Iterator[ast.FunctionDef]:
    """Give the functions that stand in other functions."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and inside:
            yield child
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from inner_functions(child, inside=inside or is_function)


def test_a_public_function_in_a_function_says_what_it_does_unless_that_is_seen_at_once(trees):
    silent = [
        f"{name}:{inner.lineno} {inner.name}"
        for name, tree in trees.items()
        for inner in inner_functions(tree)
        if (inner.end_lineno or 0) - inner.lineno >= SEEN_AT_ONCE
        if not inner.name.startswith("_") and not ast.get_docstring(inner)
    ]
    assert silent == []
    planted = ast.parse("def f():\n    if x:\n        def g():\n" + "            a = 1\n" * 8)
    assert [inner.name for inner in inner_functions(planted)] == ["g"]


def declarations(tree: ast.Module, names: tuple[str, ...]) -> int:
    """Count the top-level functions with one of the decorators, and values made by calling one."""
    calls = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            calls += node.decorator_list
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            calls.append(node.value.func)
    return sum(called(call) in names for call in calls)


def called(node: ast.expr) -> str:
    """Give the last name of what is called: `operation` for @operation("x") and module.operation."""
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@pytest.mark.parametrize(("folder", "names"), DECLARED.items())
def test_a_module_of_declarations_declares_one_thing(trees, folder, names):
    counts = {
        name: declarations(tree, names)
        for name, tree in trees.items()
        if str(Path(name).parent) == folder and Path(name).stem != "__init__"
    }
    counts = {name: n for name, n in counts.items() if name not in NOT_DECLARATIONS}
    assert {name: n for name, n in counts.items() if n != 1} == {}


def test_every_broad_except_says_why_and_there_are_four_at_most(trees):
    broad = []
    for name, tree in trees.items():
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if ast.unparse(node.body[-1]) == "raise":
                continue  # it cleans up and swallows nothing
            if re.search(r"\b(Base)?Exception\b", caught):
                assert "# " in lines[node.lineno - 1], f"{name}:{node.lineno} says no reason"
                broad.append(f"{name}:{node.lineno}")
    assert len(broad) <= 4, broad


def test_nothing_is_left_to_do(modules):
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK|raise NotImplementedError)\b")
    found = [p.name for p in modules if marks.search(p.read_text(encoding="utf-8"))]
    assert found == []
