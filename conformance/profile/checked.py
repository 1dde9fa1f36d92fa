"""Resources checked against profiles of packages, each seen from its own package (FHIR R4 packages.html)."""

from collections.abc import Sequence

from conformance.advice import Advice
from conformance.canonicals import Canonicals, Members, Terms
from conformance.profile.profiles import Profiles
from conformance.terminology.known import KnownTerminology
from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue


class ProfileChecks:
    """Checks against the profiles of what is known now; compiled on first use, and thrown away whole."""

    def __init__(self, definitions: Definitions, canonicals: Canonicals) -> None:
        self._definitions = definitions
        self.canonicals = canonicals
        self._made: dict[str, Profiles] = {}
        terminology = KnownTerminology(Terms(canonicals))
        self._advice = Advice(definitions, terminology, canonicals.structure)

    def check(self, resource: Resource, profiles: Sequence[str]) -> tuple[Issue, ...]:
        """Give what is wrong with a resource by profiles, given as canonicals with or without a version."""
        found: dict[Issue, None] = {}
        for canonical in profiles:
            for issue in self.profiles(canonical).check(resource, canonical):
                found[issue] = None
        return tuple(found)

    def advised(self, resource: Resource) -> tuple[Issue, ...]:
        """Give what is to be said of a resource's codes and extensions, beyond R4's own rules."""
        return self._advice.issues(resource)

    def must_support(self, canonical: str) -> tuple[str, ...]:
        """Give the paths that a profile marks mustSupport."""
        return self.profiles(canonical).must_support(canonical)

    def structure(self, canonical: str) -> Resource | None:
        """Give the StructureDefinition of a canonical, None where it is not known."""
        return self.canonicals.structure(canonical)

    def profiles(self, canonical: str) -> Profiles:
        """Give the checks as seen from the package that a canonical's definition is in."""
        place = None
        if not self.canonicals.is_loose(canonical):
            place = self.canonicals.place(canonical, "StructureDefinition")
        key = place.package.key if place else ""
        if key not in self._made:
            seen = self.canonicals.of(key) if key else self.canonicals
            self._made[key] = Profiles(self._definitions, seen.structure, Members(seen))
        return self._made[key]


def claimed(resource: Resource) -> tuple[str, ...]:
    """Give the profiles that a resource says it conforms to: meta.profile."""
    meta = resource.get("meta")
    found = meta.get("profile") if isinstance(meta, dict) else None
    if not isinstance(found, list):
        return ()
    return tuple(url for url in found if isinstance(url, str))
