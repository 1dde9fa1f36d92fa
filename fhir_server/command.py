"""The declaration of a command of `hounsfield`: its name, its words, and what it does."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhir_server.settings import SETTINGS, Settings

Run = Callable[[Namespace, Settings], int]
"""Does the command and gives its exit status."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `takes` names the settings that are flags of it; `configure` adds its own arguments."""

    name: str
    help: str
    run: Run
    configure: Callable[[ArgumentParser], None]
    takes: tuple[str, ...]

    def flags(self, parser: ArgumentParser) -> None:
        """Add the flags of the settings that the command takes, and its own arguments."""
        for setting in SETTINGS:
            if setting.name in self.takes:
                parser.add_argument(
                    setting.flag,
                    dest=f"setting_{setting.name}",
                    metavar=setting.values,
                    help=setting.help,
                    nargs="+" if setting.name == "trusted_proxies" else None,
                )
        self.configure(parser)


def command(
    name: str,
    help: str,  # noqa: A002 - argparse's own word
    *,
    takes: str = "",
    configure: Callable[[ArgumentParser], None] = lambda _: None,
) -> Callable[[Run], Command]:
    """Declare a command; `takes` names settings (space-separated), "*" all."""

    def declare(run: Run) -> Command:
        names = tuple(s.name for s in SETTINGS) if takes == "*" else tuple(takes.split())
        return Command(name, help, run, configure, names)

    return declare


def flags(given: Namespace) -> dict[str, str | Sequence[str] | None]:
    """Give the settings that were given as flags, by name."""
    return {
        name.removeprefix("setting_"): value
        for name, value in vars(given).items()
        if name.startswith("setting_")
    }
