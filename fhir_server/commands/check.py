"""hounsfield check: what is missing in an installation, and how to get it."""

from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fhir_server.command import command, opening
from fhir_server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from dicomweb_bridge.archive.port import Fault

_PACKAGES = (
    "fhir_server",
    "resources",
    "operations",
    "dicomweb_bridge",
    "ai_observations",
    "smart_auth",
    "conformance",
)
_EXTRAS = {"pydicom": "dicom", "torch": "ai", "scipy": "ai"}


@command("check", "tell what is missing and how to get it", takes="data store archive")
def check(given: Namespace, settings: Settings) -> int:
    """Print a line for each thing that was looked at; 1 if something is missing."""
    del given
    missing, wrong = [*_packages(), *_libraries()], list(_kept(settings))
    for fault in missing:
        print(f"missing: {fault}")
    for fault in wrong:
        print(f"wrong: {fault}")
    if not missing and not wrong:
        none = f"and nothing is stored in {settings.data} yet"
        print(
            f"ok: nothing is missing, {'and what is stored is sound' if _any(settings) else none}"
        )
    return int(bool(missing or wrong))


def _packages() -> Iterator[str]:
    """Two distributions that ship one package overwrite each other without a word from pip."""
    owners = packages_distributions()
    for name in _PACKAGES:
        held = set(owners.get(name, ()))
        if len(held) > 1:
            others = ", ".join(sorted(held - {"hounsfield"}))
            yield f"the package {name} has several owners: uninstall {others} and install hounsfield again"


def _libraries() -> Iterator[str]:
    for module, extra in _EXTRAS.items():
        if find_spec(module) is None:
            yield f"the library {module}: pip install 'hounsfield[{extra}]'"


def _any(settings: Settings) -> bool:
    """Tell whether there may be anything to verify: a folder, or a store that is elsewhere."""
    return settings.store is not None or settings.data.exists()


def _kept(settings: Settings) -> Iterator[str]:
    """Open store and archive, where there are any, and verify both: every file of the archive is read."""
    import asyncio

    from fhir_server import app

    if not _any(settings):
        return

    async def verified() -> list[str]:
        async with app.installation(settings, "http://localhost") as house:
            found = list(await house.care.verify())
            found += await house.kept.verify(await house.tenant_names())
            if (settings.data / "archive" / "index.sqlite").exists():
                found += [_told(fault) for fault in await house.archive.verify()]
            return found

    try:
        with opening():
            found = asyncio.run(verified())
    except SettingsError as fault:
        found = [str(fault)]
    yield from found


def _told(fault: "Fault") -> str:
    words = {
        "missing": "has lost the file",
        "damaged": "has a damaged file",
        "unindexed": "has a file that its index does not know",
    }
    return f"the archive of tenant {fault.tenant} {words[fault.kind]} {fault.sha256}"
