"""Where features meet: each of these satisfies a Protocol of one feature through the interactions.

The composition root hands them over, so that no feature knows another.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from dicomweb_bridge import attributes, rendered
from dicomweb_bridge.archive.port import Archive, Where
from dicomweb_bridge.identity import Issuer
from dicomweb_bridge.ingest import Ingest
from fhir_server import tenancy
from fhir_server.access import Access, Letter
from fhir_server.context import Context
from fhir_server.hl7v2.sender import Assigner, Sender
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.search.expression import And, Branch, Expression, Plan
from fhir_server.search.parse import Simple
from fhir_server.store.port import Documents, Store
from resources.model import Resource, parse, serialise
from resources.outcome import FhirError, NotAcceptable, NotFound
from smart_auth.launch import PatientChoice

log = structlog.get_logger()

ContextFor = Callable[[str, Access], Context]
Ours = Callable[[str], Context]

_STUDY = "ImagingStudy"
_UID = "urn:dicom:uid"
_PAGE = 50
_FEEDS = "feeds"
_FOLLOWED = frozenset({"Patient", "ServiceRequest"})


class Directory:
    """Finds resources for the DICOM bridge, and writes its transactions, as ourselves."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours

    async def find(
        self, tenant: str, type_: str, query: Sequence[tuple[str, str]]
    ) -> Sequence[Resource]:
        """Give the current resources that match decoded query pairs."""
        request = FhirRequest("GET", type_, tuple(query))
        found = parse((await dispatch(self._ours(tenant), request)).body)
        return [entry["resource"] for entry in found.get("entry", [])]

    async def transact(self, tenant: str, bundle: Resource) -> Resource:
        """Commit a transaction Bundle and give the response Bundle."""
        request = FhirRequest("POST", "", body=serialise(bundle))
        return parse((await dispatch(self._ours(tenant), request)).body)


class VisibleStudies:
    """Tells which studies an access may see: those whose ImagingStudy it may read or search."""

    def __init__(self, context_for: ContextFor) -> None:
        self._context_for = context_for

    async def __call__(
        self, tenant: str, access: Access, study_uid: str | None, letter: Letter
    ) -> frozenset[str] | None:
        """Give the Study Instance UIDs, of one study or of any; None for all of them."""
        context = self._context_for(tenant, access)
        planner = context.services.planner
        if access.unlimited(_STUDY, letter):
            return None
        if study_uid is not None and not attributes.is_uid(study_uid):
            return frozenset()
        named: list[Expression] = []
        if study_uid is not None:
            one = Simple("identifier", None, (f"{_UID}|urn:oid:{study_uid}",))
            named.append(planner.expression(_STUDY, one, access))
        store = context.services.store
        if access.granted(_STUDY, letter):
            hidden = And((planner.withheld(_STUDY, access), *named))
            if not await store.search(Plan(tenant, (Branch(_STUDY, hidden),), limit=1)):
                return None
        parts = (planner.allowed(_STUDY, access, letter), *named)
        found = await store.search(Plan(tenant, (Branch(_STUDY, And(parts)),)))
        return frozenset(uid for match in found for uid in _uids(parse(match.version.body or b"")))


def _uids(study: Resource) -> list[str]:
    return [
        str(identifier.get("value", "")).removeprefix("urn:oid:")
        for identifier in study.get("identifier", [])
        if identifier.get("system") == _UID
    ]


class PatientPicker:
    """Finds patients for the launch context, under the access of the user who picks."""

    def __init__(self, context_for: ContextFor) -> None:
        self._context_for = context_for

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        """Give a page of patients whose name or identifier fits the text (empty: any)."""
        context = self._context_for(tenant, access)
        found: dict[str, PatientChoice] = {}
        for query in _queries(text):
            pairs = (("_count", str(_PAGE)), *query)
            bundle = parse((await dispatch(context, FhirRequest("GET", "Patient", pairs))).body)
            for entry in bundle.get("entry", []):
                resource = entry["resource"]
                found.setdefault(resource["id"], _choice(resource))
        return list(found.values())[:_PAGE]

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        """Give one patient by logical id, None if the user may not see one of that id."""
        context = self._context_for(tenant, access)
        request = FhirRequest("GET", "Patient", (("_id", id_),))
        bundle = parse((await dispatch(context, request)).body)
        entries = bundle.get("entry", [])
        return _choice(entries[0]["resource"]) if entries else None

    async def resources(
        self, tenant: str, access: Access, type_: str, patient: str
    ) -> Sequence[PatientChoice]:
        """Give a page of a patient's resources of a type, the newest first."""
        query = (("patient", patient), ("_sort", "-_lastUpdated"), ("_count", str(_PAGE)))
        return [_shown(one) for one in await self._found(tenant, access, type_, query)]

    async def resource(
        self, tenant: str, access: Access, reference: str, patient: str | None
    ) -> PatientChoice | None:
        """Give one resource by relative reference; None if it is not that patient's, or out of reach."""
        type_, _, id_ = reference.partition("/")
        query = (("_id", id_), *((("patient", patient),) if patient else ()))
        found = await self._found(tenant, access, type_, query)
        return _shown(found[0]) if found else None

    async def _found(
        self, tenant: str, access: Access, type_: str, query: tuple[tuple[str, str], ...]
    ) -> list[Resource]:
        if not access.grants_for(type_, "s"):
            return []
        context = self._context_for(tenant, access)
        bundle = parse((await dispatch(context, FhirRequest("GET", type_, query))).body)
        return [entry["resource"] for entry in bundle.get("entry", [])]


def _shown(resource: Resource) -> PatientChoice:
    """Give a visit, study or report as a picker shows one: what it is, and when it was."""
    coded: Resource = resource.get("code") or next(iter(resource.get("type", [])), {})
    what = resource.get("description") or coded.get("text") or resource["resourceType"]
    period = resource.get("period", {}).get("start")
    when = resource.get("started") or resource.get("effectiveDateTime") or period or ""
    return PatientChoice(resource["id"], f"{what}, {str(when)[:10]}" if when else what)


def _queries(text: str) -> tuple[tuple[tuple[str, str], ...], ...]:
    if not text.strip():
        return ((),)
    escaped = text.strip().replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")
    return ((("name", escaped),), (("identifier", escaped),))


def _choice(patient: Resource) -> PatientChoice:
    """Give a patient as a picker shows one: name and birth date."""
    name: dict[str, Any] = next(iter(patient.get("name", [])), {})
    words = [*name.get("given", []), name.get("family", "")]
    label = name.get("text") or " ".join(word for word in words if word) or "(no name)"
    return PatientChoice(
        patient["id"], f"{label}, {patient.get('birthDate', 'birth date unknown')}"
    )


def identifier_system(issuer: Issuer) -> str:
    """Give the identifier system of a DICOM issuer: the one that the same HL7 v2 assigner gets."""
    assigner = Assigner(issuer.namespace, issuer.universal_id, issuer.universal_id_type)
    return Sender().system(assigner)


def zone_of(text: str | None) -> tzinfo | None:
    """Give the zone of a setting: an IANA name or an offset such as +01:00."""
    if text is None:
        return None
    if text[0] not in "+-":
        return ZoneInfo(text)
    hours, minutes = text[1:].split(":")
    size = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-size if text[0] == "-" else size)


class SeriesPicture:
    """Draws a series' middle image, for whoever may see its study."""

    def __init__(self, archive: Archive, visible: VisibleStudies) -> None:
        self._archive = archive
        self._visible = visible

    async def __call__(
        self, tenant: str, access: Access, study_uid: str, series_uid: str, side: int
    ) -> bytes | None:
        """Give a PNG that fits a square of `side` pixels, or None."""
        seen = await self._visible(tenant, access, study_uid, "r")
        if seen is not None and study_uid not in seen:
            return None
        found = await self._archive.instances(tenant, Where(study_uid, series_uid))
        if not found:
            return None
        view = rendered.View(viewport=(side, side))
        try:
            with await self._archive.open_file(tenant, found[len(found) // 2]) as file:
                return await asyncio.to_thread(rendered.picture, file, 1, view, "image/png")
        except (NotFound, NotAcceptable):
            return None


class Follower:
    """Follows the change feed: a new Patient or order may be the one that a study waits for."""

    def __init__(self, store: Store, documents: Documents, ingest: Ingest) -> None:
        self._store = store
        self._documents = documents
        self._ingest = ingest

    async def run(self) -> None:
        """Tell what earlier runs left untold, then follow until cancelled; goes on where it stopped."""
        await self._ingest.reconcile()
        found = await self._documents.get(tenancy.DEFAULT, _FEEDS, "dicomweb")
        position = int(found.value) if found else 0
        async for version in self._store.changes(position, _FOLLOWED):
            if version.key.type in _FOLLOWED and version.body is not None:
                await self._told(version.key.tenant, parse(version.body))
            kept = str(version.position).encode()
            await self._documents.put(tenancy.DEFAULT, _FEEDS, "dicomweb", kept)

    async def _told(self, tenant: str, resource: Resource) -> None:
        """Let the studies know; where their telling is refused, later resources do not wait for it."""
        try:
            await self._ingest.follow(tenant, resource)
        except FhirError as refused:
            log.warning("study not linked", tenant=tenant, reason=type(refused).__name__)
