"""FHIR packages of a tenant: their definitions are its resources, tagged with the package they came with.

docs/adr/0021-packages-are-stored-resources.md
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from conformance import packages, requirement
from conformance.canonicals import shipped
from conformance.packages import Entry, Manifest, Pack
from fhir_server.context import Context, Handler
from fhir_server.interactions.keep import keep
from fhir_server.interactions.profiles import PACKAGE
from fhir_server.message import FhirRequest
from fhir_server.search.expression import And, Branch, Plan, Token
from fhir_server.store.port import Key
from resources.model import Resource, serialise
from resources.outcome import Conflict, Forbidden, NotFound

_RECORDS: Final = "packages"
_GROUP: Final = 100
_ID: Final = 64


class Record(Struct, frozen=True, kw_only=True):
    """What is kept of an installed package; not `complete` while its resources come or go."""

    name: str
    version: str
    title: str = ""
    dependencies: dict[str, str] = {}
    resources: int = 0
    profiles: int = 0
    supported: dict[str, list[str]] = {}
    instantiates: list[str] = []
    installed: int = 0
    complete: bool = False

    def __hash__(self) -> int:
        return hash((self.key, self.installed))

    @property
    def key(self) -> str:
        """Give name and version: hl7.fhir.us.core#6.1.0"""
        return f"{self.name}#{self.version}"

    @property
    def manifest(self) -> Manifest:
        """Give it as a manifest, without what is in it."""
        return Manifest(name=self.name, version=self.version, dependencies=self.dependencies)


def permitted(context: Context) -> None:
    """Refuse all but those who may write and delete everything; raises Forbidden."""
    if not (context.access.granted("*", "c") and context.access.granted("*", "d")):
        raise Forbidden(
            "Packages need a token that may write and delete everything: system/*.cruds"
        )


async def listed(context: Context) -> tuple[Record, ...]:
    """Give the installed packages of the tenant, by name and version."""
    found = await context.services.documents.list(context.tenant, _RECORDS)
    return tuple(msgspec.json.decode(document.value, type=Record) for document in found)


def missing(record: Record, known: Sequence[Record]) -> list[str]:
    """Give the dependencies of a package, as name#version, that are not installed."""
    here = [one.manifest for one in known] + [one.manifest for one in shipped()]
    return packages.missing(record.manifest, here)


async def install(context: Context, pack: Pack) -> Record:
    """Write a package's resources; again, it writes those that are not there. Raises Conflict for our own."""
    about = pack.manifest
    if about.name in {one.manifest.name for one in shipped()}:
        raise Conflict(f"{about.name} comes with this server")
    record = Record(
        name=about.name,
        version=about.version,
        title=about.title,
        dependencies=dict(about.dependencies),
        resources=len(about.entries),
        profiles=sum(entry.type == "StructureDefinition" for entry in about.entries),
        supported=_supported(pack, context.services.definitions.resource_types),
        instantiates=_met(context, pack),
        installed=context.services.clock(),
    )
    await _keep(context, record)
    ours = replace(context.as_ours(), keep_unchanged=True)  # kept as their publisher wrote them
    for start in range(0, len(about.entries), _GROUP):
        group = about.entries[start : start + _GROUP]
        await keep(ours, [_tagged(pack.resource(entry), entry, about) for entry in group])
    done = replace(record, complete=True)
    await _keep(context, done)
    return done


def _supported(pack: Pack, resource_types: frozenset[str]) -> dict[str, list[str]]:
    """Give the profiles of a package that resources may claim, by their type."""
    found: dict[str, list[str]] = {}
    for entry in pack.manifest.entries:
        if entry.type == "StructureDefinition" and entry.constrains in resource_types:
            held = pack.resource(entry)
            if held.get("derivation") == "constraint" and not held.get("abstract"):
                found.setdefault(entry.constrains, []).append(entry.url)
    return {type_: sorted(urls) for type_, urls in sorted(found.items())}


def _met(context: Context, pack: Pack) -> list[str]:
    """Give the CapabilityStatements of a package whose every SHALL this server meets."""
    ours = msgspec.json.decode(context.services.capabilities(context.base))
    wanted = (
        pack.resource(entry)
        for entry in pack.manifest.entries
        if entry.type == "CapabilityStatement"
    )
    return [
        one["url"]
        for one in wanted
        if requirement.for_servers(one) and not requirement.unmet(one, ours)
    ]


async def remove(context: Context, name: str, version: str, dispatch: Handler) -> Record:
    """Delete a package's resources that came with it; raises NotFound where it is not installed."""
    chosen = [r for r in await listed(context) if r.name == name and version in {"", r.version}]
    if not chosen:
        raise NotFound("There is no such package installed")
    if len(chosen) > 1:
        raise Conflict("Several versions of the package are installed: say which")
    record = replace(chosen[0], complete=False)
    await _keep(context, record)
    while keys := await _tagged_keys(context, record.key):
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": key.reference}} for key in keys],
        }
        await dispatch(context.as_ours(), FhirRequest("POST", "", body=serialise(bundle)))
    await context.services.documents.delete(context.tenant, _RECORDS, record.key)
    return record


async def _keep(context: Context, record: Record) -> None:
    value = msgspec.json.encode(record)
    await context.services.documents.put(context.tenant, _RECORDS, record.key, value)


async def _tagged_keys(context: Context, package: str) -> list[Key]:
    """Give the keys of some of the resources that came with a package."""
    branches = []
    for type_ in sorted(packages.KINDS):
        atoms = context.services.planner.parameter(type_, "_tag").atoms
        where = And(tuple(Token(atom.name, PACKAGE, package) for atom in atoms))
        branches.append(Branch(type_, where))
    plan = Plan(context.tenant, tuple(branches), limit=_GROUP)
    return [match.version.key for match in await context.services.store.search(plan)]


def _tagged(resource: Resource, entry: Entry, about: Manifest) -> Resource:
    """Give a resource under an id of its package's version, with the package's tag."""
    meta = dict(resource.get("meta", {}))
    tag = {"system": PACKAGE, "code": about.key}
    meta["tag"] = [*meta.get("tag", ()), tag]
    return {**resource, "id": identity(entry, about), "meta": meta}


def identity(entry: Entry, about: Manifest) -> str:
    """Give the id of a package's resource: its own with the version, so that versions stand side by side."""
    version = "".join(c if c.isalnum() or c in "-." else "-" for c in about.version)
    whole = f"{entry.id}-{version}"
    if len(whole) <= _ID:
        return whole
    mark = hashlib.sha256(f"{entry.id}#{about.key}".encode()).hexdigest()[:16]
    return f"{entry.id[: _ID - 17]}-{mark}"
