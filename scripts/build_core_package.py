"""Build conformance/data from HL7's R4 package: python -m scripts.build_core_package [TARBALL].

It holds R4's StructureDefinitions without snapshots (they are made of the differentials), SearchParameters
and OperationDefinitions, all without narrative. Two runs give identical bytes.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from conformance import packages
from scripts.build_definitions import PACKAGE, fetch, read_package

DATA = Path(__file__).resolve().parent.parent / "conformance" / "data"
NAME = "hl7.fhir.r4.core"
_DROPPED = ("text", "snapshot", "mapping", "contact")
_DROPPED_BELOW = ("mapping", "requirements", "alias", "comment")


def slim(resource: dict[str, Any]) -> dict[str, Any]:
    """Give a definition without narrative, mappings and, where a differential says the same, its snapshot."""
    kept = {name: value for name, value in resource.items() if name not in _DROPPED}
    if resource["resourceType"] != "StructureDefinition":
        return kept
    if "differential" not in resource:
        kept["differential"] = resource["snapshot"]
    elements = [
        {name: value for name, value in element.items() if name not in _DROPPED_BELOW}
        for element in kept["differential"]["element"]
    ]
    kept["differential"] = {"element": elements}
    return kept


def chosen(package: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Give the definitions that are served, by type and id; HL7's examples are not."""
    for kind in ("OperationDefinition", "SearchParameter", "StructureDefinition"):
        for resource in sorted(package[kind], key=lambda held: str(held["id"])):
            if not resource["id"].startswith("example") and resource.get("kind") != "logical":
                yield slim(resource)


def main() -> None:
    """Build the package from the tarball given, or fetched, and print its size."""
    parser = argparse.ArgumentParser(description="Build conformance/data from HL7's R4 package.")
    parser.add_argument("tarball", type=Path, nargs="?", help=f"the tarball of {PACKAGE}")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the data files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        package = read_package(arguments.tarball or fetch(Path(folder)))
    about = packages.Manifest(
        name=NAME,
        version="4.0.1",
        title="FHIR R4 definitions (HL7, CC0-1.0)",
        canonical="http://hl7.org/fhir",
    )
    made = packages.pack(about, chosen(package))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{NAME}.zip").write_bytes(made.content)
    (arguments.out / f"{NAME}.json").write_bytes(msgspec.json.encode(made.manifest))
    print(f"{len(made.manifest.entries)} definitions, {len(made.content):,} bytes")


if __name__ == "__main__":
    main()
