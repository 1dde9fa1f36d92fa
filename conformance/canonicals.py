"""What canonical URLs lead to, in the packages that are here (FHIR R4 references.html#canonical)."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import resources as package_data
from typing import NamedTuple

import msgspec

from conformance.packages import Entry, Manifest, Pack, pack
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.held import held
from conformance.terminology.known import KnownTerminology
from conformance.terminology.value_set import ValueSet, compiled
from resources.model import Resource, parse
from resources.outcome import FhirError

CORE = "hl7.fhir.r4.core"
_NUMBER = re.compile(r"\d+")


class Place(NamedTuple):
    """Where a resource is: the package, and its entry there."""

    package: Manifest
    entry: Entry


class Opened:
    """Packages whose resources can be read; content is opened when it is first asked for."""

    def __init__(self, manifest: Manifest, load: Callable[[], bytes]) -> None:
        self.manifest = manifest
        self._load = load

    @functools.cached_property
    def _pack(self) -> Pack:
        return Pack(self.manifest, self._load())

    def resource(self, entry: Entry) -> Resource:
        """Give one resource of the package, parsed."""
        return self._pack.resource(entry)


@functools.cache
def shipped() -> tuple[Opened, ...]:
    """Give the packages that come with the program: R4's core, and our own."""
    return core(), imaging()


@functools.cache
def core() -> Opened:
    """Give R4's own definitions (scripts/build_core_package.py)."""
    folder = package_data.files("conformance").joinpath("data")
    manifest = msgspec.json.decode(folder.joinpath(f"{CORE}.json").read_bytes(), type=Manifest)
    return Opened(manifest, folder.joinpath(f"{CORE}.zip").read_bytes)


@functools.cache
def imaging() -> Opened:
    """Give our own package, the JSON files of the folder conformance/imaging."""
    folder = package_data.files("conformance").joinpath("imaging")
    files = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(".json")}
    manifest = msgspec.json.decode(files.pop("package.json"), type=Manifest)
    made = pack(manifest, (parse(files[name]) for name in sorted(files)))
    return Opened(made.manifest, lambda: made.content)


def order(version: str) -> tuple[tuple[int, ...], str]:
    """Give what versions are ordered by; a pre-release is before its release."""
    numbers = tuple(int(part) for part in _NUMBER.findall(version.partition("-")[0]))
    return numbers, "~" if "-" not in version else version


class Canonicals:
    """Finds resources by canonical in packages, and in loose resources that stand before them.

    Without a version the newest is meant; `of` prefers those of one package and its dependencies.
    """

    def __init__(
        self, packages: Sequence[Opened], loose: Iterable[Resource] = (), preferred: str = ""
    ) -> None:
        self.packages = packages
        self._opened = {one.manifest.key: one for one in packages}
        self._loose = {
            (one["resourceType"], one["url"]): one
            for one in loose
            if isinstance(one.get("url"), str)
        }
        self._places: dict[str, list[Place]] = {}
        for one in packages:
            for entry in one.manifest.entries:
                if entry.url:
                    self._places.setdefault(entry.url, []).append(Place(one.manifest, entry))
        self._preferred = self._near(preferred)
        self._parsed: dict[tuple[str, str], Resource] = {}
        self._views: dict[str, Canonicals] = {}

    def _near(self, key: str) -> frozenset[str]:
        """Give the keys of a package and of what it depends on."""
        opened = self._opened.get(key)
        if opened is None:
            return frozenset()
        wanted = (f"{name}#{version}" for name, version in opened.manifest.dependencies.items())
        return frozenset((key, *(w for w in wanted if w in self._opened)))

    def of(self, key: str) -> "Canonicals":
        """Give the same as seen from one package: its own versions of things come first."""
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = Canonicals(self.packages, self._loose.values(), key)
        return view

    def place(self, canonical: str, type_: str) -> Place | None:
        """Give where a canonical leads, None where nothing here has it."""
        url, _, version = canonical.partition("#")[0].partition("|")
        found = [place for place in self._places.get(url, ()) if place.entry.type == type_]
        if version:
            found = [place for place in found if fits(version, place.entry.version)]
        if not found:
            return None
        return max(found, key=self._rank)

    def _rank(self, place: Place) -> tuple[bool, tuple[tuple[int, ...], str]]:
        version = place.entry.version or place.package.version
        return place.package.key in self._preferred, order(version)

    def resource(self, canonical: str, type_: str) -> Resource | None:
        """Give the resource of a canonical, not to be changed; None where nothing here has it."""
        url, _, version = canonical.partition("#")[0].partition("|")
        loose = self._loose.get((type_, url))
        if loose is not None and (not version or fits(version, loose.get("version", ""))):
            return loose
        place = self.place(canonical, type_)
        if place is None:
            return None
        mark = (place.package.key, place.entry.member)
        if mark not in self._parsed:
            self._parsed[mark] = self._opened[place.package.key].resource(place.entry)
        return self._parsed[mark]

    def structure(self, canonical: str) -> Resource | None:
        """Give the StructureDefinition of a canonical."""
        return self.resource(canonical, "StructureDefinition")

    def is_loose(self, canonical: str) -> bool:
        """Tell whether a canonical's StructureDefinition is none of a package's."""
        return ("StructureDefinition", canonical.partition("|")[0]) in self._loose


def fits(asked: str, version: str) -> bool:
    """Tell whether a version is the one asked for; 6.1 asks for any 6.1.x."""
    return version == asked or version.startswith(f"{asked}.")


class Terms:
    """The code systems and value sets of packages, then R4's own: a terminology source."""

    def __init__(self, canonicals: Canonicals) -> None:
        self._canonicals = canonicals
        self._systems: dict[str, CodeSystem | None] = {}
        self._sets: dict[str, ValueSet | None] = {}

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Give the code system of a url, of the version or else the newest."""
        canonical = f"{url}|{version}" if version else url
        if canonical not in self._systems:
            found = self._canonicals.resource(canonical, "CodeSystem")
            self._systems[canonical] = None if found is None else CodeSystem(found)
        return self._systems[canonical] or held().code_system(url, version)

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Give the value set of a url, of the version or else the newest."""
        canonical = f"{url}|{version}" if version else url
        if canonical not in self._sets:
            found = self._canonicals.resource(canonical, "ValueSet")
            self._sets[canonical] = None if found is None else compiled(found)
        return self._sets[canonical] or held().value_set(url, version)


class Members:
    """Tells whether codes are in value sets, by the terminology of packages; remembers what was told."""

    _MOST = 20_000

    def __init__(self, canonicals: Canonicals) -> None:
        self._terminology = KnownTerminology(Terms(canonicals))
        self._told: dict[tuple[str, str | None, str], bool | None] = {}

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Give None where the value set, or the code system it draws on, is not known here."""
        key = (value_set, system, code)
        if key not in self._told:
            if len(self._told) >= self._MOST:
                self._told.clear()
            self._told[key] = self._ask(*key)
        return self._told[key]

    def _ask(self, value_set: str, system: str | None, code: str) -> bool | None:
        try:
            return self._terminology.validate_code(value_set, system, code).result
        except FhirError:
            return None
