"""The declaration of a command of `hounsfield`: its name, its words, and what it does."""

import contextlib
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fhir_server.setting_values import store_file
from fhir_server.settings import SETTINGS, Settings, SettingsError

if TYPE_CHECKING:
    from fhir_server.installation import Installation

T = TypeVar("T")
COULD_NOT = 2
"""The exit status of a command that could not begin."""

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
        _take(parser, self.takes)
        self.configure(parser)


class Actions:
    """The actions of a command that has several, e.g. add, list, remove; one of them must be given.

    The command reads the one that was given as `action`.
    """

    def __init__(self, parser: ArgumentParser) -> None:
        self._parsers: _SubParsersAction[ArgumentParser] = parser.add_subparsers(
            dest="action", metavar="ACTION", required=True
        )

    def add(self, name: str, help: str, *, takes: str = "data store") -> ArgumentParser:  # noqa: A002
        """Add an action with the flags of the settings it takes; gives its parser."""
        parser = self._parsers.add_parser(name, help=help, description=help)
        _take(parser, takes.split())
        return parser


def _take(parser: ArgumentParser, names: Sequence[str]) -> None:
    for setting in SETTINGS:
        if setting.name in names:
            parser.add_argument(
                setting.flag,
                dest=f"setting_{setting.name}",
                metavar=setting.values,
                help=setting.help,
                nargs="+" if setting.name == "trusted_proxies" else None,
            )


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


def refused(reason: object) -> int:
    """Tell on standard error why a command did not do what was asked; gives the exit status 1."""
    print(f"hounsfield: {sentence(reason)}", file=sys.stderr)  # noqa: T201 - the command line's answer
    return 1


def sentence(reason: object) -> str:
    """Give a reason as it is told: of a file that could not be used, which one and why."""
    if isinstance(reason, OSError) and reason.filename and reason.strerror:
        return f"{reason.filename}: {reason.strerror}"
    return str(reason)


def nothing_yet(settings: Settings) -> str:
    """Give why there is no installation, as far as the disk tells; nothing where there may be one."""
    file = store_file(settings.store_url)
    if file is None or (file.exists() and settings.data.exists()):
        return ""
    return f"{settings.data if file.exists() else file} does not exist"


def within(
    settings: Settings,
    work: "Callable[[Installation], Awaitable[T]]",
    tenant: str = "default",
    *,
    begins: bool = False,
) -> T:
    """Open the installation's store in this process, beside a running server, and do the work on it.

    A folder without a store is refused, as it may be the wrong one, but where the work may be what an
    installation `begins` with. Raises SettingsError, too where the tenant is not registered.
    """
    if not begins and (why := nothing_yet(settings)):
        raise SettingsError(f"there is no installation here: {why}")
    import asyncio  # noqa: PLC0415 - a quarter of the time that --help may take

    from fhir_server import app  # noqa: PLC0415 - heavy, only when a command opens a store

    async def done() -> T:
        async with app.installation(settings, "http://localhost") as house:
            if not await house.has_tenant(tenant):
                raise SettingsError(
                    f"there is no tenant {tenant}: hounsfield tenant add registers it"
                )
            return await work(house)

    with opening():
        return asyncio.run(done())


@contextlib.contextmanager
def opening() -> Iterator[None]:
    """Turn what keeps a data folder from being opened into a SettingsError that says it."""
    from dicomweb_bridge.archive.index import (  # noqa: PLC0415 - heavy, only when a command opens a store
        IndexTooNew,
    )
    from fhir_server.store.port import SchemaTooNew, StoreUnavailable  # noqa: PLC0415 - as above
    from smart_auth.keys import UnsafeKeys  # noqa: PLC0415 - as above

    try:
        yield
    except SchemaTooNew:
        raise SettingsError("store: a newer version of hounsfield has written it") from None
    except IndexTooNew:
        raise SettingsError("archive: a newer version of hounsfield has written it") from None
    except StoreUnavailable as fault:
        raise SettingsError(f"store: {fault}") from None
    except UnsafeKeys as fault:
        raise SettingsError(f"keys: {fault}") from None
