"""Write docs/commands.md from the declarations in fhir_server/commands/."""

from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

from fhir_server import cli, commands, registry
from fhir_server.command import Command
from fhir_server.settings import SETTINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEAD = """\
# Commands

`hounsfield COMMAND --help` tells the same with a sentence for each argument. What stands in brackets may be
left out, `…` means that it may be given again.

The exit status is 0 where all that was asked was done, 1 where something was refused, found wrong or
broken off (said on standard error), 2 where the command could not begin, 130 where it was interrupted.
Results go to standard output, progress and reasons to standard error.

Commands with `--data` work on that folder in their own process; a server may be running on it meanwhile, and
sees what they change at once. Those that look at an installation, or work on what is in it, refuse a folder
without one. A secret of a client is printed when it is made and never again; passwords and
tokens are never arguments that others could see, unless `--token` is chosen over `HOUNSFIELD_TOKEN`.

This page is written by `python scripts/commands_page.py` from `fhir_server/commands/`.

| Command | Does | Arguments | [Settings](settings.md) |
|---|---|---|---|
"""
_SETTING = "setting_"


def page() -> str:
    """Give the whole page."""
    found = tuple(registry.discover(commands, Command, "fhir_server.commands"))
    return HEAD + "".join(_rows("hounsfield", cli.parser(found)))


def _rows(name: str, parser: ArgumentParser) -> Iterator[str]:
    """Give a row for the parser, or for each command below it."""
    below = [action for action in parser._actions if isinstance(action, _SubParsersAction)]  # noqa: SLF001
    if not below:
        yield _row(name.removeprefix("hounsfield "), parser)
    for action in below:
        for word, inner in action.choices.items():
            yield from _rows(f"{name} {word}", inner)


def _row(name: str, parser: ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]  # noqa: SLF001
    taken = [action for action in actions if action.dest.startswith(_SETTING)]
    own = [action for action in actions if action not in taken]
    settings = "all" if len(taken) == len(SETTINGS) else " ".join(f"`{_flag(a)}`" for a in taken)
    cells = (f"`{name}`", f"{parser.description}", _code(_usage(own, parser)), settings)
    return f"| {' | '.join(cells)} |\n"


def _usage(actions: list[Action], parser: ArgumentParser) -> Iterator[str]:
    """Give each argument as one would write it, alternatives together."""
    groups = {
        id(action): group
        for group in parser._mutually_exclusive_groups  # noqa: SLF001
        for action in group._group_actions  # noqa: SLF001
    }
    told: set[int] = set()
    for action in actions:
        group = groups.get(id(action))
        if group is None:
            written = _written(action)
            needed = action.required or (not action.option_strings and action.nargs != "*")
            yield written if needed else f"[{written}]{_again(action)}"
        elif id(group) not in told:
            told.add(id(group))
            yield f"[{' | '.join(_written(one) for one in group._group_actions)}]"  # noqa: SLF001


def _written(action: Action) -> str:
    value = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"{value}…" if action.nargs in {"+", "*"} else f"{value}"
    return _flag(action) if action.nargs == 0 else f"{_flag(action)} {value}"


def _again(action: Action) -> str:
    return "…" if isinstance(action.default, list) else ""


def _flag(action: Action) -> str:
    return action.option_strings[-1]


def _code(parts: Iterator[str]) -> str:
    text = " ".join(parts).replace("|", "\\|")
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
