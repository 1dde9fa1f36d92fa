"""The profiles of a tenant: what is shipped, and the definitions that it stores (FHIR R4 profiling.html).

Stored definitions are read when a profile is first asked for, with all that they draw on, and again once
any definition has changed, whichever process wrote it. docs/adr/0021-packages-are-stored-resources.md
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from conformance.canonicals import Canonicals, Opened, shipped
from conformance.packages import Entry, Manifest, entry_of
from conformance.profile.checked import ProfileChecks, claimed
from conformance.profile.drawn import Canonical, drawn
from fhir_server.context import Context
from fhir_server.interactions.entry import told_at
from fhir_server.search.expression import Branch, Expression, Or, Plan, Uri
from fhir_server.store.port import Change, Key, Page, Scope, Version
from resources.definitions import Definitions
from resources.model import Resource, parse
from resources.outcome import Issue, Unprocessable

Policy = Literal["off", "report", "reject"]

PACKAGE: Final = "https://hounsfield.example/fhir/CodeSystem/package"
"""The system of the tag that says which package a stored definition came with."""
SETTINGS: Final = "tenant-settings"
"""The namespace of what a tenant sets for itself; the key `claimed_profiles` overrides the setting."""
CLAIMED: Final = "claimed_profiles"

_TYPES: Final = ("CodeSystem", "StructureDefinition", "ValueSet")
_MOST: Final = 5_000
_POLICIES: Final[dict[bytes, Policy]] = {b"off": "off", b"report": "report", b"reject": "reject"}
_SMALL: Final = 200_000

Mark = tuple[int, ...]


class _State:
    """What is known of one tenant's definitions since `mark`."""

    def __init__(self, definitions: Definitions, mark: Mark) -> None:
        self.mark = mark
        self.asked: set[Canonical] = set()
        self.found: dict[Key, Resource] = {}
        self.checks = ProfileChecks(definitions, Canonicals(shipped()))


class TenantProfiles:
    """Checks resources of tenants against profiles; one for an installation."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._states: dict[str, _State] = {}
        self._last: dict[str, Policy] = {}

    async def policy(self, context: Context) -> Policy:
        """Give what claimed profiles do in the caller's tenant: its own setting, else the installation's."""
        found = await context.services.documents.get(context.tenant, SETTINGS, CLAIMED)
        told = self._policy if found is None else _POLICIES.get(found.value, self._policy)
        self._last[context.tenant] = told
        return told

    async def checks(self, context: Context, canonicals: Sequence[str]) -> ProfileChecks:
        """Give the checks with all that these profiles draw on, as far as it is here."""
        state = await self._state(context)
        wanted = {("StructureDefinition", url.partition("|")[0]) for url in canonicals}
        if await self._read(context, state, wanted):
            state.checks = ProfileChecks(context.services.definitions, _canonicals(state))
        return state.checks

    def told(self, context: Context, resource: Resource) -> tuple[Issue, ...]:
        """Give, as warnings, what is wrong with a stored resource by its profiles, by what was just read."""
        profiles = claimed(resource)
        state = self._states.get(context.tenant)
        if not profiles or state is None or self._last.get(context.tenant) in {None, "off"}:
            return ()
        return tuple(_warning(issue) for issue in state.checks.check(resource, profiles))

    async def _state(self, context: Context) -> _State:
        mark = await _mark(context)
        state = self._states.get(context.tenant)
        if state is None or state.mark != mark:
            state = self._states[context.tenant] = _State(context.services.definitions, mark)
        return state

    @staticmethod
    async def _read(context: Context, state: _State, wanted: set[Canonical]) -> bool:
        """Read what is wanted and what that draws on; tells whether anything was found."""
        anything = False
        pending = wanted - state.asked
        while pending:
            state.asked |= pending
            drawn_on: set[Canonical] = set()
            for version in await _stored(context, pending):
                resource = await _parsed(version)
                state.found[version.key] = resource
                drawn_on |= drawn(resource)
                anything = True
            if len(state.found) > _MOST:
                break
            pending = drawn_on - state.asked
        return anything


def _warning(issue: Issue) -> Issue:
    severity = "warning" if issue.severity in {"error", "fatal"} else issue.severity
    return Issue(severity, issue.code, issue.diagnostics, issue.expression)


async def refuse(context: Context, changes: Sequence[Change], places: Mapping[Key, str]) -> None:
    """Raise Unprocessable where the tenant rejects what breaks the profiles that it claims.

    `places` are those of the entries that ask for the changes, where they are entries.
    """
    profiles = context.services.profiles
    if profiles is None:
        return
    for change in changes:
        tail = change.body.tail if change.body is not None else b""
        if tail.startswith(b",") and b'"profile":[' in tail and change.body is not None:
            resource = parse(change.body.at(1, 0))
            await _refuse_one(context, resource, places.get(change.key, ""))


async def _refuse_one(context: Context, resource: Resource, place: str) -> None:
    profiles, urls = context.services.profiles, claimed(resource)
    if profiles is None or not urls:
        return
    policy = await profiles.policy(context)
    if policy == "off":
        return
    checks = await profiles.checks(context, urls)
    if policy == "report":
        return
    issues = checks.check(resource, urls)
    if any(issue.severity in {"error", "fatal"} for issue in issues):
        issues = told_at(place, issues) if place else issues
        raise Unprocessable("The resource breaks a profile that it claims", issues=issues)


async def _mark(context: Context) -> Mark:
    """Give what changes whenever a definition of the tenant is written or deleted, by any process."""
    store, page = context.services.store, Page(limit=1)
    newest = [await store.history(Scope(context.tenant, type_), page) for type_ in _TYPES]
    return tuple(versions[0].position if versions else 0 for versions in newest)


async def _stored(context: Context, wanted: Iterable[Canonical]) -> Sequence[Version]:
    """Give the definitions that the tenant stores under canonicals, all versions of each."""
    by_type: dict[str, list[Expression]] = {}
    for type_, url in sorted(wanted):
        parameter = context.services.planner.parameter(type_, "url")
        by_type.setdefault(type_, []).extend(Uri(atom.name, url) for atom in parameter.atoms)
    branches = tuple(Branch(type_, Or(tuple(found))) for type_, found in by_type.items())
    if not branches:
        return ()
    plan = Plan(context.tenant, branches, limit=_MOST)
    return [match.version for match in await context.services.store.search(plan)]


async def _parsed(version: Version) -> Resource:
    body = version.body or b"{}"
    return parse(body) if len(body) < _SMALL else await asyncio.to_thread(parse, body)


def _canonicals(state: _State) -> Canonicals:
    """Give what the tenant stores, by package, together with what is shipped."""
    loose: list[Resource] = []
    packages: dict[str, list[Resource]] = {}
    for resource in state.found.values():
        package = package_of(resource)
        (packages.setdefault(package, []) if package else loose).append(resource)
    grouped = [_Group(key, held) for key, held in packages.items()]
    return Canonicals((*shipped(), *grouped), loose)


def package_of(resource: Resource) -> str:
    """Give the package, name#version, that a definition came with; empty where it came alone."""
    for tag in resource.get("meta", {}).get("tag", ()):
        if tag.get("system") == PACKAGE:
            return str(tag.get("code", ""))
    return ""


class _Group(Opened):
    """The stored definitions of one package."""

    def __init__(self, key: str, resources: Iterable[Resource]) -> None:
        name, _, version = key.partition("#")
        found: dict[Entry, Resource] = {}
        for resource in resources:
            entry = entry_of(resource)
            if entry is not None:
                found[entry] = resource
        super().__init__(Manifest(name=name, version=version, entries=tuple(found)), bytes)
        self._found = found

    def resource(self, entry: Entry) -> Resource:
        """Give one definition of the package."""
        return self._found[entry]
