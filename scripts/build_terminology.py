"""Build R4's code systems and value sets for resources/data: python -m scripts.build_terminology [TARBALL].

The source is the package that `build_definitions` pins by name, version and digest (CC0). Only what HL7
itself publishes is kept: a code system with another holder of rights is left out, and so is a value set that
lists the codes of a code system that is not HL7's or the IETF's. Two runs give identical bytes.
"""

import argparse
import hashlib
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scripts.build_definitions import DATA, SHA256, fetch, lines

Json = dict[str, Any]

OURS = ("http://hl7.org/fhir/", "http://terminology.hl7.org/", "http://cds-hooks.hl7.org/")
LISTED = (*OURS, "urn:ietf:")
FREE = frozenset(
    {"", "This is an example set.", "This is an extensible set.", "HL7 International.", "HL7 Inc."}
)


def read_package(tarball: Path) -> dict[str, list[Json]]:
    """Give the package's code systems and value sets; refuses a tarball with another digest."""
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{tarball.name} has SHA-256 {digest}, not {SHA256}")
    found: dict[str, list[Json]] = {"CodeSystem": [], "ValueSet": []}
    with tarfile.open(tarball) as package:
        for member in package:
            kind = member.name.rpartition("/")[2].partition("-")[0]
            content = package.extractfile(member) if kind in found else None
            if content is not None:
                found[kind].append(msgspec.json.decode(content.read()))
    return found


def concept(source: Json) -> Json:
    """Give one concept with those nested in it: code, display, properties."""
    kept: Json = {name: source[name] for name in ("code", "display") if name in source}
    if "property" in source:
        kept["property"] = [
            held for held in source["property"] if held["code"] != "deprecationDate"
        ]
    if "concept" in source:
        kept["concept"] = [concept(inner) for inner in source["concept"]]
    return kept


def code_systems(sources: Iterable[Json]) -> dict[str, Json]:
    """Give the complete code systems of HL7's own by url."""
    names = ("version", "caseSensitive", "hierarchyMeaning", "content")
    found = {}
    for source in sorted(sources, key=lambda held: str(held["url"])):
        free = source.get("copyright", "").strip() in FREE
        if free and source["content"] == "complete" and source["url"].startswith(OURS):
            found[source["url"]] = {
                "url": source["url"],
                **{name: source[name] for name in names if name in source},
                "concept": [concept(held) for held in source.get("concept", ())],
            }
    return found


def lists_only_ours(compose: Json) -> bool:
    """Tell whether all codes that a compose lists are of code systems that may be repeated."""
    parts = [*compose.get("include", ()), *compose.get("exclude", ())]
    return all(part.get("system", "").startswith(LISTED) for part in parts if part.get("concept"))


def value_sets(
    sources: Iterable[Json], required: Mapping[str, Json], systems: Collection[str]
) -> dict[str, Json]:
    """Give the value sets that may be repeated by url; `required` are those that are data already.

    One of those that draws on none of `systems` has its codes beside, as HL7 expanded it.
    """
    found: dict[str, Json] = {}
    for source in sources:
        compose = source.get("compose", {})
        if compose.get("include") and lists_only_ours(compose):
            found[source["url"]] = {
                "url": source["url"],
                "version": source.get("version", ""),
                "compose": {
                    name: compose[name]
                    for name in ("inactive", "include", "exclude")
                    if name in compose
                },
            }
    for url, codes in required.items():
        contains = [
            {"system": system, "code": code} for system, listed in codes.items() for code in listed
        ]
        held = found.setdefault(url, {"url": url, "version": "4.0.1"})
        parts = held.get("compose", {}).get("include", ())
        if not parts or any(
            "concept" not in part and part.get("system", "") not in systems for part in parts
        ):
            held["expansion"] = {"contains": contains}
    return dict(sorted(found.items()))


def build(package: Mapping[str, list[Json]], required: Mapping[str, Json]) -> dict[str, bytes]:
    """Give the data files by name."""
    systems = code_systems(package["CodeSystem"])
    sets = value_sets(package["ValueSet"], required, systems)
    return {"code_systems": lines(systems), "value_sets": lines(sets)}


def main() -> None:
    """Build the data files from the tarball given, or fetched, and print their sizes."""
    parser = argparse.ArgumentParser(description="Build R4's code systems and value sets.")
    parser.add_argument("tarball", type=Path, nargs="?", help="the tarball of the R4 package")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the data files")
    arguments = parser.parse_args()
    required = msgspec.json.decode((DATA / "codes.json").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        tarball = arguments.tarball or fetch(Path(folder))
        files = build(read_package(tarball), required)
    for name, content in files.items():
        (arguments.out / f"{name}.json").write_bytes(content)
        print(f"{name}.json {len(content):,} bytes")


if __name__ == "__main__":
    main()
