"""hounsfield check: what is missing in an installation, and how to get it."""

from argparse import Namespace
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec

from fhir_server.command import command
from fhir_server.settings import Settings

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
    faults = [*_packages(), *_libraries(), *_store(settings)]
    for fault in faults:
        print(f"missing: {fault}")
    if not faults:
        print("ok: nothing is missing")
    return int(bool(faults))


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


def _store(settings: Settings) -> Iterator[str]:
    """Open the store, where there is one already, and verify it."""
    import asyncio

    from fhir_server import app
    from fhir_server.store.port import SchemaTooNew

    if not settings.data.exists():
        return

    async def verified() -> list[str]:
        async with app.installation(settings, "http://localhost") as house:
            return list(await house.care.verify())

    try:
        yield from asyncio.run(verified())
    except SchemaTooNew:
        yield "a newer version of hounsfield: this store was written by one"
