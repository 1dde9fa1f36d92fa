"""Build resources/data from HL7's FHIR R4 package: python -m scripts.build_definitions [TARBALL].

The source is the npm package below (CC0), pinned by name, version and digest. Without an argument it
is fetched by `npm pack`. The output is sorted, compact JSON, an entry a line, and depends on nothing
but the package: two runs give identical bytes.
"""

import argparse
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from resources.definitions import (
    Binding,
    Element,
    Invariant,
    Operation,
    OperationParameter,
    Primitive,
    SearchParameter,
    Structure,
    TypeRef,
)

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
SHA256 = "dce87f1b5b9341867033f7d1f544fa1b5232503f6d62813887ac6b8a8b6cb682"
DATA = Path(__file__).resolve().parent.parent / "resources" / "data"

CORE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = f"{CORE}structuredefinition-fhir-type"
REGEX = f"{CORE}regex"
KINDS = ("StructureDefinition", "SearchParameter", "CompartmentDefinition", "OperationDefinition")
EXPANSIONS = "Bundle-valueset-expansions.json"
WHOLE = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "every media type of BCP 13",
    "http://hl7.org/fhir/ValueSet/ucum-units": "every expression of UCUM's grammar",
}

Json = dict[str, Any]


def fetch(folder: Path) -> Path:
    """Fetch the pinned package into a folder with npm and give the tarball's path."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to fetch the package; or give the tarball's path")
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.tgz"))


def read_package(tarball: Path) -> dict[str, list[Json]]:
    """Give the package's definitions by resource type; refuses a tarball with another digest."""
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{tarball.name} has SHA-256 {digest}, not {SHA256}")
    found: dict[str, list[Json]] = {kind: [] for kind in (*KINDS, "Bundle")}
    with tarfile.open(tarball) as package:
        for member in package:
            name = member.name.rpartition("/")[2]
            wanted = name == EXPANSIONS or name.partition("-")[0] in KINDS
            content = package.extractfile(member) if wanted else None
            if content is not None:
                resource = msgspec.json.decode(content.read())
                found[resource["resourceType"]].append(resource)
    return found


def extension(element: Json, url: str) -> Any:
    """Give the value of an element's extension, whatever its type, or None."""
    for held in element.get("extension", ()):
        if held["url"] == url:
            return next(value for name, value in held.items() if name != "url")
    return None


def tail(canonical: str) -> str:
    """Give the last step of a canonical URL, its version left out."""
    return canonical.partition("|")[0].rpartition("/")[2]


def upper(bound: str) -> int | None:
    """Give a cardinality's upper bound, None for *."""
    return None if bound == "*" else int(bound)


def type_ref(held: Json, path: str) -> TypeRef:
    """Give one type of an element, FHIRPath's system types replaced by the FHIR type."""
    code = held["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        code = extension(held, FHIR_TYPE)
    if path == "Resource.id":
        code = "id"
    targets = tuple(sorted({tail(target) for target in held.get("targetProfile", ())}))
    profile = tail(held["profile"][0]) if "profile" in held else None
    return TypeRef(code, targets, profile)


def element(source: Json) -> Element:
    """Give one element of a snapshot."""
    path = source["path"]
    name = path.rpartition(".")[2]
    bound = source.get("binding")
    reference = source.get("contentReference")
    return Element(
        name=name.removesuffix("[x]"),
        min=source["min"],
        max=upper(source["max"]),
        types=tuple(type_ref(held, path) for held in source.get("type", ())),
        choice=name.endswith("[x]"),
        binding=binding(bound) if bound else None,
        content_reference=reference.removeprefix("#") if reference else None,
        summary=source.get("isSummary", False),
        modifier=source.get("isModifier", False),
    )


def binding(source: Json) -> Binding | None:
    """Give an element's binding; one that names no value set binds nothing."""
    value_set = source.get("valueSet")
    return Binding(source["strength"], value_set.partition("|")[0]) if value_set else None


def primitive(definition: Json) -> Primitive | None:
    """Give the lexical rules that a primitive type states for its value."""
    if definition["kind"] != "primitive-type":
        return None
    name = definition["type"]
    value = next(e for e in definition["snapshot"]["element"] if e["path"] == f"{name}.value")
    return Primitive(
        regex=extension(value["type"][0], REGEX),
        minimum=value.get("minValueInteger"),
        maximum=value.get("maxValueInteger"),
        max_length=value.get("maxLength"),
    )


def own_elements(definition: Json) -> Iterator[Json]:
    """Give the elements that a type declares itself, in order."""
    name = definition["type"]
    for held in definition["snapshot"]["element"][1:]:
        is_primitive_value = (
            definition["kind"] == "primitive-type" and held["path"] == f"{name}.value"
        )
        if held["base"]["path"].startswith(f"{name}.") and not is_primitive_value:
            yield held


def structure(definition: Json) -> Structure:
    """Give one type with its own elements and the type of each nested path."""
    elements: dict[str, list[Element]] = {}
    nested: dict[str, str] = {}
    held = list(own_elements(definition))
    parents = {source["path"].rpartition(".")[0] for source in held}
    for source in held:
        parent = source["path"].rpartition(".")[0]
        elements.setdefault(parent, []).append(element(source))
        if source["path"] in parents:
            nested[source["path"]] = source["type"][0]["code"]
    kind = definition["kind"].removesuffix("-type")
    return Structure(
        kind=kind,
        base=tail(definition["baseDefinition"]) if "baseDefinition" in definition else None,
        abstract=definition["abstract"],
        primitive=primitive(definition),
        elements={path: tuple(found) for path, found in elements.items()},
        nested=nested,
    )


def invariants(definitions: Iterable[Json]) -> dict[str, tuple[Invariant, ...]]:
    """Give the constraints by the path that states them first."""
    found: dict[str, tuple[Invariant, ...]] = {}
    for definition in definitions:
        for held in definition["snapshot"]["element"]:
            own = [
                Invariant(rule["key"], rule["severity"], rule["human"], rule.get("expression", ""))
                for rule in held.get("constraint", ())
                if tail(rule.get("source", definition["url"])) == definition["type"]
            ]
            if own:
                found[held["path"]] = tuple(own)
    return dict(sorted(found.items()))


def search_parameters(sources: Iterable[Json]) -> list[SearchParameter]:
    """Give the search parameters by url, without HL7's examples and those that apply to no type."""
    return sorted(
        (
            SearchParameter(
                url=source["url"],
                code=source["code"],
                type=source["type"],
                base=tuple(source["base"]),
                expression=source.get("expression", ""),
                target=tuple(source.get("target", ())),
                components=tuple(
                    (held["definition"], held["expression"]) for held in source.get("component", ())
                ),
            )
            for source in sources
            if "base" in source and not source["id"].startswith("example")
        ),
        key=lambda held: held.url,
    )


def compartments(sources: Iterable[Json]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Give the compartments' parameters by resource type, the specification's example left out."""
    return {
        source["code"]: {
            held["code"]: tuple(held["param"]) for held in source["resource"] if "param" in held
        }
        for source in sorted(sources, key=lambda held: str(held["code"]))
        if source["id"] != "example"
    }


def operation_parameter(source: Json) -> OperationParameter:
    """Give one parameter of an operation with its parts."""
    return OperationParameter(
        name=source["name"],
        use=source.get("use", ""),
        min=source["min"],
        max=upper(source["max"]),
        type=source.get("type"),
        search_type=source.get("searchType"),
        documentation=source.get("documentation", ""),
        parts=tuple(operation_parameter(part) for part in source.get("part", ())),
    )


def operations(sources: Iterable[Json]) -> list[Operation]:
    """Give the operations by url, the specification's example left out."""
    return sorted(
        (
            Operation(
                code=source["code"],
                url=source["url"],
                levels=tuple(level for level in ("instance", "type", "system") if source[level]),
                types=tuple(source.get("resource", ())),
                affects_state=source.get("affectsState", False),
                parameters=tuple(operation_parameter(p) for p in source.get("parameter", ())),
            )
            for source in sources
            if source["id"] != "example"
        ),
        key=lambda held: held.url,
    )


def contained_codes(entries: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """Give the (system, code) pairs of an expansion, abstract ones left out."""
    for entry in entries:
        if "code" in entry and not entry.get("abstract"):
            yield entry.get("system", ""), entry["code"]
        yield from contained_codes(entry.get("contains", ()))


def codes(
    structures: Mapping[str, Structure], expansions: Iterable[Json]
) -> dict[str, dict[str, list[str]]]:
    """Give the codes by system of each required-bound value set that HL7's package expands."""
    wanted = {
        held.binding.value_set
        for type_ in structures.values()
        for elements in type_.elements.values()
        for held in elements
        if held.binding and held.binding.strength == "required"
    } - WHOLE.keys()
    found: dict[str, dict[str, list[str]]] = {}
    for value_set in sorted(expansions, key=lambda held: str(held["url"])):
        if value_set["url"] in wanted:
            by_system = found.setdefault(value_set["url"], {})
            for system, code in sorted(set(contained_codes(value_set["expansion"]["contains"]))):
                by_system.setdefault(system, []).append(code)
    return found


def lines(value: Mapping[str, Any] | list[Any]) -> bytes:
    """Give compact JSON with one top-level entry a line, so that changes read well."""
    encode = msgspec.json.encode
    if isinstance(value, list):
        return b"[\n" + b",\n".join(encode(held) for held in value) + b"\n]\n"
    entries = (encode(key) + b":" + encode(held) for key, held in value.items())
    return b"{\n" + b",\n".join(entries) + b"\n}\n"


def build(package: Mapping[str, list[Json]]) -> dict[str, bytes]:
    """Give the data files by name from a package's definitions."""
    defined = sorted(
        (
            held
            for held in package["StructureDefinition"]
            if held["kind"] != "logical"
            and held.get("derivation") != "constraint"
            and held["type"] != "MetadataResource"
        ),
        key=lambda held: str(held["type"]),
    )
    structures = {held["type"]: structure(held) for held in defined}
    expansions = [entry["resource"] for held in package["Bundle"] for entry in held["entry"]]
    files: dict[str, Mapping[str, Any] | list[Any]] = {
        "structures": structures,
        "invariants": invariants(defined),
        "search_parameters": search_parameters(package["SearchParameter"]),
        "compartments": compartments(package["CompartmentDefinition"]),
        "operations": operations(package["OperationDefinition"]),
        "codes": codes(structures, expansions),
        "source": {"package": PACKAGE, "sha256": SHA256, "licence": "CC0-1.0"},
    }
    return {name: lines(value) for name, value in files.items()}


def main() -> None:
    """Build the data files from the tarball given, or fetched, and print their sizes."""
    parser = argparse.ArgumentParser(description="Build resources/data from HL7's R4 package.")
    parser.add_argument("tarball", type=Path, nargs="?", help=f"the tarball of {PACKAGE}")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the data files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = build(read_package(arguments.tarball or fetch(Path(folder))))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (arguments.out / f"{name}.json").write_bytes(content)
        print(f"{name}.json {len(content):,} bytes")


if __name__ == "__main__":
    main()
