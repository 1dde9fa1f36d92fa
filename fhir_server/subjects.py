"""Whom resources are about, for the audit trail: by the Patient's CompartmentDefinition, many at once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from fhir_server.context import Context
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.search.index_values import PartialExtractor
from fhir_server.search.parameters import SearchParameters
from fhir_server.store.port import Key, Version

Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""
_PATIENT: Final = "Patient"
_REMEMBERED: Final = 20_000
_AT_ONCE: Final = 50


class Subjects:
    """Finds the patients of resources and remembers what it found of their versions, which never change."""

    def __init__(self, context_of: Ours) -> None:
        self._context_of = context_of
        self._patients: dict[tuple[str, str], tuple[str, ...]] = {}
        self._members: dict[str, tuple[SearchParameters, dict[str, PartialExtractor | None]]] = {}

    async def patients(
        self, tenant: str, references: Iterable[str]
    ) -> Mapping[str, tuple[str, ...]]:
        """Give the logical ids of the patients in whose compartments resources are, or were.

        By reference, with a version or without; one that leads nowhere is left out.
        """
        found: dict[str, tuple[str, ...]] = {}
        unknown: list[str] = []
        for reference in references:
            known = self._patients.get((tenant, reference))
            if known is not None:
                found[reference] = known
            elif reference.startswith("Patient/"):
                found[reference] = (reference.split("/")[1],)
            else:
                unknown.append(reference)
        for start in range(0, len(unknown), _AT_ONCE):
            some = await self._found(tenant, unknown[start : start + _AT_ONCE])
            self._remember(tenant, some)
            found |= some
            await asyncio.sleep(0)  # others are waiting for the event loop
        return found

    async def studies(self, tenant: str, uids: Iterable[str]) -> Mapping[str, str]:
        """Give the references of the ImagingStudies that are here, by Study Instance UID (urn:oid:)."""
        found = {}
        for uid in uids:
            query = (("identifier", f"urn:dicom:uid|{uid}"),)
            request = FhirRequest("GET", "ImagingStudy", query)
            answered = await dispatch(self._context_of(tenant), request)
            for version in answered.seen[:1]:
                found[uid] = f"{version.key.reference}/_history/{version.version_id}"
        return found

    def _remember(self, tenant: str, found: Mapping[str, tuple[str, ...]]) -> None:
        if len(self._patients) + len(found) > _REMEMBERED:
            self._patients.clear()
        for reference, patients in found.items():
            if "/_history/" in reference:  # whom another version is about may be another
                self._patients[tenant, reference] = patients

    async def _found(self, tenant: str, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        context = self._context_of(tenant)
        extractors = {r: self._extractor(context, r.partition("/")[0]) for r in references}
        asked = [r for r, extract in extractors.items() if extract is not None]
        versions = await _versions(context, asked)
        found: dict[str, tuple[str, ...]] = dict.fromkeys(extractors.keys() - set(asked), ())
        for reference, version in versions.items():
            extract = extractors[reference]
            if extract is None or version.body is None:
                continue
            values = extract(version.body).references
            found[reference] = tuple(dict.fromkeys(r.id for r in values if r.type == _PATIENT))
        return found

    def _extractor(self, context: Context, type_: str) -> PartialExtractor | None:
        """Give what extracts the members of a type's patient compartments; None where it has none."""
        parameters = context.services.planner.parameters
        known = self._members.get(context.tenant)
        if known is None or known[0] is not parameters:
            known = self._members[context.tenant] = (parameters, {})
        members = known[1]
        if type_ not in members:
            members[type_] = _compiled(context, parameters, type_)
        return members[type_]


def _compiled(
    context: Context, parameters: SearchParameters, type_: str
) -> PartialExtractor | None:
    if type_ not in context.services.definitions.resource_types:
        return None
    found = parameters.compartment(_PATIENT, type_)
    atoms = frozenset(atom.name for parameter in found for atom in parameter.atoms)
    return parameters.referring(type_, atoms) if atoms else None


async def _versions(context: Context, references: Sequence[str]) -> dict[str, Version]:
    """Give the versions that references name: what is current in one query, what is not one by one."""
    keys = {reference: _key(context, reference) for reference in references}
    store = context.services.store
    current = {v.key: v for v in await store.read_many(list(dict.fromkeys(keys.values())))}
    found = {}
    for reference, key in keys.items():
        named, version = reference.partition("/_history/")[2], current.get(key)
        if version is None or (named and int(named) != version.version_id):
            version = await _other(context, key, named)
        if version is not None:
            found[reference] = version
    return found


def _key(context: Context, reference: str) -> Key:
    type_, id_ = reference.split("/")[:2]
    return Key(context.tenant, type_, id_)


async def _other(context: Context, key: Key, named: str) -> Version | None:
    """Give a version that is not current, or of a deletion the last one with contents."""
    store = context.services.store
    version = await (store.vread(key, int(named)) if named else store.read(key))
    if version is not None and version.body is None and version.version_id > 1:
        return await store.vread(key, version.version_id - 1)
    return version
