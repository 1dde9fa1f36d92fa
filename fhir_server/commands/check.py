"""hounsfield check: what is missing in an installation, and how to get it."""

from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fhir_server.command import command, nothing_yet, opening
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
            f"ok: nothing is missing, {none if nothing_yet(settings) else 'and what is stored is sound'}"
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


def _kept(settings: Settings) -> Iterator[str]:
    """Open store and archive, where there are any, and verify both: every file of the archive is read."""
    import asyncio

    from fhir_server import app

    async def verified() -> list[str]:
        async with app.installation(settings, "http://localhost") as house:
            found = list(await house.care.verify())
            found += await house.kept.verify(await house.tenant_names())
            if (settings.data / "archive" / "index.sqlite").exists():
                found += [_told(fault) for fault in await house.archive.verify()]
            return found

    try:
        with opening():
            found = _without_store(settings) if nothing_yet(settings) else asyncio.run(verified())
    except SettingsError as fault:
        found = [str(fault)]
    yield from found


def _without_store(settings: Settings) -> list[str]:
    """Look at what there is where there is no store; makes nothing. Raises SettingsError."""
    from fhir_server.app.folder import usable
    from smart_auth.keys import KeyRing

    if not settings.data.exists():
        return [] if settings.store is None else [f"store: {nothing_yet(settings)}"]
    if (usable(settings.data) / "keys").exists():
        KeyRing(settings.data / "keys")
    beside = any((settings.data / name).exists() for name in ("archive", "blobs"))
    return [f"store: {nothing_yet(settings)}"] if beside or settings.store else []


def _told(fault: "Fault") -> str:
    words = {
        "missing": "has lost the file",
        "damaged": "has a damaged file",
        "unindexed": "has a file that its index does not know",
    }
    return f"the archive of tenant {fault.tenant} {words[fault.kind]} {fault.sha256}"
