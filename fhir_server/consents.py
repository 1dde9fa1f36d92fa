"""Patients' Consents as what they keep from a caller (FHIR R4 consent.html).

An active privacy Consent counts. A rule denies where its actors, period, purposes and actions fit the caller;
what narrows a denial and is not understood is left out, so that it keeps back more; a permission inside a
denial that is not understood does not count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from fhir_server.access import Access, Withheld
from fhir_server.context import Context
from fhir_server.search.expression import ALWAYS, Branch, Plan
from fhir_server.store.port import Page, Scope, Version
from resources import datatypes
from resources.model import Resource, parse

_TYPE = "Consent"
_RECHECK_MS = 1_000
_PAGE = 200
_PRIVACY = frozenset({"patient-privacy", ""})
_READING = frozenset({"access", "use", "disclose"})
_UNKNOWN_MEMBERS = frozenset({"Organization", "CareTeam", "Group", "PractitionerRole"})
_OPT_OUT = frozenset({"OPTOUT", "OPTOUTE"})
_TREATMENT = "TREAT"
_NARROWS = ("code", "data", "dataPeriod")
Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""


class _Tenant(Struct):
    """What is known of a tenant: active consents by id, up to a position, when that was looked up."""

    consents: dict[str, Resource]
    position: int
    checked: int


class Consents:
    """Knows every tenant's active Consents, as they are or were a second ago."""

    def __init__(self, ours: Ours, clock: Callable[[], int]) -> None:
        self._ours = ours
        self._clock = clock
        self._known: dict[str, _Tenant] = {}

    async def withheld(self, tenant: str, access: Access) -> tuple[Withheld, ...]:
        """Give what Consents keep from a caller."""
        known = await self._looked(tenant)
        if not known.consents:
            return ()
        now = self._clock()
        return tuple(
            one for consent in known.consents.values() for one in denials(consent, access, now)
        )

    async def _looked(self, tenant: str) -> _Tenant:
        known, now = self._known.get(tenant), self._clock()
        if known is None:
            known = self._known[tenant] = await self._all(tenant, now)
        elif now - known.checked >= _RECHECK_MS:
            known.checked = now
            for version in reversed(await self._newer(tenant, known.position)):
                known.position = version.position
                _take(known.consents, version)
        return known

    async def _all(self, tenant: str, now: int) -> _Tenant:
        store = self._ours(tenant).services.store
        newest = await store.history(Scope(tenant, _TYPE), Page(1))
        found: dict[str, Resource] = {}
        for match in await store.search(Plan(tenant, (Branch(_TYPE, ALWAYS),))):
            _take(found, match.version)
        return _Tenant(found, newest[0].position if newest else 0, now)

    async def _newer(self, tenant: str, position: int) -> list[Version]:
        """Give the versions after a position, newest first."""
        store = self._ours(tenant).services.store
        found: list[Version] = []
        before: int | None = None
        while True:
            page = await store.history(Scope(tenant, _TYPE), Page(_PAGE, before=before))
            newer = [version for version in page if version.position > position]
            found += newer
            if len(newer) < _PAGE:
                return found
            before = newer[-1].position


def _take(held: dict[str, Resource], version: Version) -> None:
    """Keep a Consent that counts, drop one that does not any more."""
    consent = parse(version.body) if version.body else {}
    if consent.get("status") == "active" and _scope(consent) in _PRIVACY:
        held[version.key.id] = consent
    else:
        held.pop(version.key.id, None)


def _scope(consent: Mapping[str, Any]) -> str:
    codes = [coding.get("code", "") for coding in consent.get("scope", {}).get("coding", [])]
    return "" if not codes or "patient-privacy" in codes else str(codes[0])


def denials(consent: Resource, access: Access, now: int) -> tuple[Withheld, ...]:
    """Give what one active Consent keeps from a caller at an instant (ms since 1970 UTC)."""
    kind, _, patient = str(consent.get("patient", {}).get("reference", "")).partition("/")
    if kind != "Patient" or not patient or access.fhir_user == f"Patient/{patient}":
        return ()
    root = consent.get("provision", {})
    policy = {c.get("code") for c in consent.get("policyRule", {}).get("coding", [])}
    if root.get("type", "deny" if policy & _OPT_OUT else "permit") == "deny":
        return _denied(patient, root, access, now)
    rules = [rule for rule in root.get("provision", []) if rule.get("type") == "deny"]
    return tuple(one for rule in rules for one in _denied(patient, rule, access, now))


def _denied(
    patient: str, rule: Mapping[str, Any], access: Access, now: int
) -> tuple[Withheld, ...]:
    if not _applies(rule, access, now, denying=True):
        return ()
    permits = [
        Withheld(patient, _types(nested), _labels(nested))
        for nested in rule.get("provision", [])
        if nested.get("type") == "permit"
        and not any(name in nested for name in _NARROWS)
        and _applies(nested, access, now, denying=False)
    ]
    return (Withheld(patient, _types(rule), _labels(rule), tuple(permits)),)


def _applies(rule: Mapping[str, Any], access: Access, now: int, *, denying: bool) -> bool:
    """Tell whether a rule is about this caller, now, who reads to treat; in doubt a denial is."""
    return (
        _current(rule.get("period", {}), now, otherwise=denying)
        and _is_actor(rule.get("actor", []), access, otherwise=denying)
        and _fits(rule.get("purpose", []), {_TREATMENT}, access, otherwise=denying)
        and _acts(rule.get("action", []))
    )


def _current(period: Mapping[str, Any], now: int, *, otherwise: bool) -> bool:
    try:
        start = datatypes.interval(period["start"])[0] if "start" in period else now
        end = datatypes.interval(period["end"])[1] if "end" in period else now
    except (ValueError, TypeError):
        return otherwise
    return start <= now <= end


def _is_actor(actors: Sequence[Mapping[str, Any]], access: Access, *, otherwise: bool) -> bool:
    """Tell whether the caller is an actor; of what one may be a member is not known here."""
    if not actors:
        return True
    named = [str(actor.get("reference", {}).get("reference", "")) for actor in actors]
    if access.fhir_user in named or (access.client and f"Device/{access.client}" in named):
        return True
    unknown = any(n.partition("/")[0] in _UNKNOWN_MEMBERS or not n for n in named)
    return otherwise and unknown


def _fits(
    purposes: Iterable[Mapping[str, Any]], wanted: set[str], access: Access, *, otherwise: bool
) -> bool:
    codes = {purpose.get("code") for purpose in purposes}
    if not codes or codes & wanted:
        return True
    return otherwise and access.fhir_user is None  # a service does not say what it reads for


def _acts(actions: Sequence[Mapping[str, Any]]) -> bool:
    codes = {c.get("code") for action in actions for c in action.get("coding", [])}
    return not codes or bool(codes & _READING)


def _types(rule: Mapping[str, Any]) -> frozenset[str]:
    """Give the resource types of a rule's classes; one that is no type is no limit."""
    codes = [str(coding.get("code", "")) for coding in rule.get("class", [])]
    known = [code for code in codes if code.isalpha() and code[:1].isupper()]
    return frozenset(known) if len(known) == len(codes) else frozenset()


def _labels(rule: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{label.get('system', '')}|{label.get('code', '')}"
        for label in rule.get("securityLabel", [])
    )
