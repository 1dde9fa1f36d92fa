"""FHIR packages in NPM's form: read from a .tgz with care, kept as a zip, looked into when used.

https://hl7.org/fhir/R4/packages.html. Nothing of a package is ever written to a path that it names.
"""

import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from resources.model import Resource, parse, serialise
from resources.outcome import Invalid

LARGEST = 64 * 1024 * 1024
"""The most bytes of a package as it comes."""
_UNPACKED = 1024 * 1024 * 1024
_MEMBER = 64 * 1024 * 1024
_MEMBERS = 50_000
_STEP = 1 << 20
_STAMP = (1980, 1, 1, 0, 0, 0)
_MANIFEST = "package.json"
_R4 = ("4.0",)
_NAME = 214

KINDS = frozenset(
    (
        "ActivityDefinition",
        "CapabilityStatement",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "GraphDefinition",
        "ImplementationGuide",
        "Library",
        "Measure",
        "MessageDefinition",
        "NamingSystem",
        "OperationDefinition",
        "PlanDefinition",
        "Questionnaire",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "ValueSet",
    )
)


class Entry(Struct, frozen=True, gc=False):
    """One conformance resource of a package; `constrains` is the type that a StructureDefinition is of."""

    type: str
    id: str
    url: str = ""
    version: str = ""
    constrains: str = ""

    @property
    def member(self) -> str:
        """Give the name of its member in the zip."""
        return f"{self.type}-{self.id}.json"


class Manifest(Struct, frozen=True, kw_only=True):
    """What a package says of itself, and what is in it."""

    name: str
    version: str
    title: str = ""
    canonical: str = ""
    dependencies: Mapping[str, str] = {}
    entries: tuple[Entry, ...] = ()

    @property
    def key(self) -> str:
        """Give name and version: hl7.fhir.us.core#6.1.0"""
        return f"{self.name}#{self.version}"


class Pack:
    """A package that can be looked into: the manifest, and the zip of its resources."""

    def __init__(self, manifest: Manifest, content: bytes) -> None:
        self.manifest = manifest
        self.content = content
        self._zip = zipfile.ZipFile(io.BytesIO(content))

    def resource(self, entry: Entry) -> Resource:
        """Give one resource, parsed."""
        return parse(self._zip.read(entry.member))


def pack(manifest: Manifest, resources: Iterable[Resource]) -> Pack:
    """Keep resources as a package; of two with one type and id the first stays."""
    held = io.BytesIO()
    entries: dict[str, Entry] = {}
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for resource in resources:
            entry = entry_of(resource)
            if entry is None or entry.member in entries:
                continue
            entries[entry.member] = entry
            info = zipfile.ZipInfo(entry.member, _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, serialise(resource))
    whole = msgspec.structs.replace(manifest, entries=tuple(entries.values()))
    return Pack(whole, held.getvalue())


def entry_of(resource: Resource) -> Entry | None:
    """Give the entry of a conformance resource with an id, None for anything else."""
    type_, id_ = resource.get("resourceType"), resource.get("id")
    if type_ not in KINDS or not isinstance(id_, str):
        return None
    return Entry(
        type_,
        id_,
        _text(resource, "url"),
        _text(resource, "version"),
        _text(resource, "type").rpartition("/")[2] if type_ == "StructureDefinition" else "",
    )


def _text(held: Mapping[str, Any], name: str) -> str:
    value = held.get(name)
    return value if isinstance(value, str) else ""


def read(tgz: bytes) -> Pack:
    """Read an NPM-format FHIR package; raises Invalid for what is none, is too large, or is not for R4."""
    if len(tgz) > LARGEST:
        raise Invalid(f"A package has at most {LARGEST // 1024**2} MiB", issue="too-long")
    found: dict[str, bytes] = {}
    try:
        for name, content in _members(tgz):
            found.setdefault(name, content)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as fault:
        raise Invalid("The package is no gzipped tar file that can be read") from fault
    manifest = _manifest(found.pop(_MANIFEST, b""))
    return pack(manifest, _resources(found.values()))


def _members(tgz: bytes) -> Iterator[tuple[str, bytes]]:
    """Give the JSON files of the folder `package` by name, refusing what would unpack to too much."""
    total = count = 0
    with (
        gzip.open(io.BytesIO(tgz)) as plain,
        tarfile.open(fileobj=plain, mode="r|") as archive,
    ):
        for member in archive:
            total, count = total + member.size, count + 1
            if total > _UNPACKED or count > _MEMBERS or member.size > _MEMBER:
                raise Invalid("The package unpacks to more than is read here", issue="too-long")
            folder, _, name = member.name.removeprefix("./").rpartition("/")
            if folder != "package" or not name.endswith(".json") or not member.isfile():
                continue
            content = archive.extractfile(member)
            if content is not None:
                yield name, content.read()
        while rest := plain.read(_STEP):  # to its end, where the checksum is
            total += len(rest)
            if total > _UNPACKED:
                raise Invalid("The package unpacks to more than is read here", issue="too-long")


def _manifest(content: bytes) -> Manifest:
    try:
        told = json.loads(content)
    except ValueError:
        raise Invalid("The package has no package/package.json that can be read") from None
    if not isinstance(told, dict) or not (name := _text(told, "name")):
        raise Invalid("The package's package.json names no package")
    version = _text(told, "version")
    if not version or not _harmless(name) or not _harmless(version):
        raise Invalid("The package's package.json has no name and version that can be used")
    versions = told.get("fhirVersions") or told.get("fhir-version-list") or ["4.0.1"]
    if not any(str(held).startswith(_R4) for held in versions):
        raise Invalid("The package is not for FHIR R4", issue="not-supported")
    dependencies = told.get("dependencies") or {}
    return Manifest(
        name=name,
        version=version,
        title=_text(told, "title"),
        canonical=_text(told, "canonical"),
        dependencies={str(n): str(v) for n, v in dependencies.items()}
        if isinstance(dependencies, dict)
        else {},
    )


def _harmless(text: str) -> bool:
    kept = text.replace("-", "").replace(".", "").replace("_", "").replace("+", "")
    return kept.isalnum() and kept.isascii() and len(text) <= _NAME


def _resources(contents: Iterable[bytes]) -> Iterator[Resource]:
    for content in contents:
        try:
            yield parse(content)
        except Invalid:
            continue  # .index.json and its like are no resources


def missing(manifest: Manifest, known: Sequence[Manifest]) -> list[str]:
    """Give the dependencies, as name#version, that are not among the known packages; R4's core is here."""
    held = {one.key for one in known} | {one.name for one in known}
    found = []
    for name, version in sorted(manifest.dependencies.items()):
        exact = f"{name}#{version}"
        is_here = exact in held or (version.endswith((".x", "latest", "current")) and name in held)
        if name not in {"hl7.fhir.r4.core", "hl7.fhir.core"} and not is_here:
            found.append(exact)
    return found
