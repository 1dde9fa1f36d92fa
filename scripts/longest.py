"""Print the ten longest modules and functions of the packages, so that no tail grows unseen."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = 10


def modules() -> Iterator[tuple[int, str]]:
    """Yield the length of each module in lines, and its path."""
    for path in _paths():
        yield len(path.read_text(encoding="utf-8").splitlines()), str(path.relative_to(ROOT))


def functions() -> Iterator[tuple[int, str]]:
    """Yield the length of each function in lines, and where it is."""
    for path in _paths():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                yield length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def _paths() -> Iterator[Path]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        yield from (ROOT / package).rglob("*.py")


def main() -> None:
    """Print both lists."""
    for title, found in (("modules", modules()), ("functions", functions())):
        print(f"longest {title}, in lines")
        for length, place in sorted(found, reverse=True)[:SHOWN]:
            print(f"  {length:4}  {place}")


if __name__ == "__main__":
    main()
