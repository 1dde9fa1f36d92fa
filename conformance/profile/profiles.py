"""Resources checked against profiles, each compiled when it is first asked for (FHIR R4 profiling.html)."""

from collections.abc import Iterator
from typing import NamedTuple

from conformance.profile.binding import Membership
from conformance.profile.compile import Compiler, Ports
from conformance.profile.constraint import Constraints
from conformance.profile.discriminator import Walk
from conformance.profile.element_tree import Node
from conformance.profile.item import Item, is_a, of_resource
from conformance.profile.run import NOTHING, Check, Issues, Run, failed, within
from conformance.profile.snapshot import CORE, Find, SnapshotFault, Snapshots
from resources.definitions import Definitions
from resources.fhirpath.environment import Environment
from resources.model import Resource
from resources.outcome import Issue

_MOST = 100


class Compiled(NamedTuple):
    """One profile ready to be used: what it constrains, its check (None: nothing), what it must support."""

    type: str
    check: Check | None
    must_support: tuple[str, ...]


class Profiles:
    """Checks resources against StructureDefinitions that `find` gives by their canonical."""

    def __init__(self, definitions: Definitions, find: Find, membership: Membership) -> None:
        self._definitions = definitions
        self._find = find
        self._membership = membership
        self._snapshots = Snapshots(find)
        self._constraints = Constraints(definitions)
        self._walk = Walk(definitions, self._snapshots)
        self._compiled: dict[str, Compiled | str] = {}
        self._ports = Ports(self.type_of, self._conforms, membership)

    # --- what is asked for ---

    def check(self, resource: Resource, url: str) -> tuple[Issue, ...]:
        """Give what is wrong with a resource by a profile, at most 100 issues.

        Base validation is another's; a profile that is not known is a warning that names it.
        """
        item = of_resource(resource)
        run = self._run(resource)
        found = within(item.suffix, self._conforms(item, url, run))
        return tuple(dict.fromkeys((*found, *run.deferred)))[:_MOST]

    def must_support(self, url: str) -> tuple[str, ...]:
        """Give the paths of the elements that a profile marks mustSupport; none where it is not known."""
        found = self._profile(url.partition("|")[0])
        return () if isinstance(found, str) else found.must_support

    def type_of(self, url: str) -> str | None:
        """Give the type that a canonical's StructureDefinition constrains, None where it is not known."""
        url = url.partition("|")[0]
        name = url.removeprefix(CORE)
        if name != url and self._definitions.kind(name):
            return name
        found = self._find(url)
        return None if found is None else found["type"].rpartition("/")[2]

    # --- compiled on first use ---

    def _profile(self, url: str) -> Compiled | str:
        """Give a compiled profile, or why there is none."""
        known = self._compiled.get(url)
        if known is None:
            try:
                known = self._compile(url)
            except SnapshotFault as fault:
                known = str(fault)
            except (KeyError, TypeError, AttributeError, ValueError):
                known = f"The definition {url} is not well formed and cannot be used"
            self._compiled[url] = known
        return known

    def _compile(self, url: str) -> Compiled:
        if self._find(url.partition("#")[0]) is None:
            raise SnapshotFault(f"The profile {url} is not known here, and was not checked")
        root = self._snapshots.of(url)
        type_ = root.element["path"]
        compiler = Compiler(self._definitions, self._walk, self._constraints, self._ports, root)
        return Compiled(type_, compiler.check(root, type_), tuple(_supported(root)))

    def _conforms(self, item: Item, url: str, run: Run) -> Issues:
        url = url.partition("|")[0]
        name = url.removeprefix(CORE)
        if name != url and self._definitions.kind(name) in {"resource", "complex"}:
            return self._of_type(item, name)
        found = self._profile(url)
        if isinstance(found, str):
            return run.once(Issue("warning", "not-found", found))
        if issues := self._of_type(item, found.type):
            return issues
        if found.check is None:
            return NOTHING
        check = found.check
        if self._definitions.kind(item.type) != "resource":
            return run.nested(item, url, check)
        return run.inside(item, lambda held, _: run.nested(held, url, check))

    def _of_type(self, item: Item, type_: str) -> Issues:
        held = item.type.partition(".")[0] if item.value == {} else item.type
        if "." in held or is_a(self._definitions, held, type_):
            return NOTHING
        text = f"The profile is for {type_}, which this is not"
        return (Issue("error", "structure", text),)

    def _run(self, resource: Resource) -> Run:
        run: Run

        def resolve(reference: str) -> Resource | None:
            return run.resolve(reference)

        def conforms(held: Resource, url: str) -> bool | None:
            if isinstance(self._profile(url.partition("|")[0]), str):
                return None
            return not failed(self._conforms(of_resource(held), url, run))

        environment = Environment(resolve=resolve, member_of=self._member_of, conforms_to=conforms)
        run = Run(resource, environment)
        return run

    def _member_of(self, value: object, value_set: str) -> bool | None:
        """Answer FHIRPath's memberOf() for a code, Coding or CodeableConcept."""
        if isinstance(value, str):
            return self._membership.member(value_set, None, value)
        if not isinstance(value, dict):
            return None
        codings = value.get("coding", [value])
        told = [
            self._membership.member(value_set, held.get("system", ""), held["code"])
            for held in codings
            if isinstance(held, dict) and isinstance(held.get("code"), str)
        ]
        if True in told:
            return True
        return None if None in told else False


def _supported(root: Node) -> Iterator[str]:
    for node in root.walk():
        if node.element.get("mustSupport"):
            name = node.element.get("sliceName")
            yield node.element["path"] + (f":{name}" if name else "")
