"""The doors beside REST: SMART, the HL7 v2 listener, studies that come in; and the supervised children."""

import asyncio
from collections.abc import Callable

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuers
from dicomweb_bridge.ingest import Ingest
from fhir_server import tenancy
from fhir_server.app import trail
from fhir_server.app.clock import now
from fhir_server.app.stores import Adapter
from fhir_server.app.work import ContextFor
from fhir_server.auditing import Auditing
from fhir_server.consents import Consents
from fhir_server.context import Context
from fhir_server.hl7v2.door import Interactions
from fhir_server.hl7v2.inbox import Inbox
from fhir_server.hl7v2.listener import Listener
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.installation import Installation, registered
from fhir_server.joints import Directory, Follower, PatientPicker, identifier_system, zone_of
from fhir_server.limits import Limits
from fhir_server.settings import Settings, SettingsError
from fhir_server.store.port import Documents, instant
from fhir_server.supervision import Child
from smart_auth import issuers, roles
from smart_auth.keys import KeyRing
from smart_auth.policy import Policy
from smart_auth.smart import Ports, Smart

_SWEEP_S = 600.0
_KEYS_S = 3_600.0
_DAY_MS = 24 * 3_600 * 1_000
Views = tuple[ContextFor, Callable[[str], Context]]
"""The context of a caller in a tenant, and that of our own edges."""


def smart(settings: Settings, store: Adapter, public_url: str, contexts: Views) -> Smart:
    """Give the authorisation server; raises SettingsError for a file of issuers that cannot be read.

    `contexts` are a caller's and our own.
    """
    context_for, ours = contexts

    async def has_tenant(name: str) -> bool:
        return await registered(store, name)

    try:
        trusted = issuers.read(settings.issuers) if settings.issuers else ()
    except ValueError as fault:
        raise SettingsError(f"issuers: {fault}") from None
    ports = Ports(
        patients=PatientPicker(context_for),
        has_tenant=has_tenant,
        clock=now,
        identities=Directory(ours),
        issuers=trusted,
        policy=Policy(
            registration=settings.client_registration,
            second_factor=settings.second_factor == "required",
            simulator=settings.simulates_ehr,
        ),
    )
    return Smart(store, KeyRing(settings.data / "keys", now), public_url, ports)


def limits(settings: Settings, documents: Documents, ours: Callable[[str], Context]) -> Limits:
    """Give what limits callers beyond their tokens; raises SettingsError for a broken file of roles."""
    try:
        known = roles.load(settings.roles)
    except roles.RolesError as fault:
        raise SettingsError(f"roles: {fault}") from None
    return Limits(roles.Roles(documents, known), Consents(ours, now), now)


def ingest(
    settings: Settings, archive: LocalArchive, public_url: str, ours: Callable[[str], Context]
) -> Ingest:
    """Give what makes studies of instances."""

    def address(tenant: str) -> str:
        return f"{public_url}{tenancy.path(tenant)}/dicom-web"

    directory = Directory(ours)
    assigners = Issuers(system=identifier_system, zone=zone_of(settings.default_zone))
    return Ingest(
        archive,
        directory,
        directory.transact,
        issuers=assigners,
        address=address,
        now=lambda: instant(now()),
    )


def listener(
    settings: Settings,
    documents: Documents,
    ours: Callable[[str], Context],
    audit: Auditing | None,
) -> Listener | None:
    """Give the HL7 v2 listener, none where the settings say off."""
    if settings.mllp_port is None:
        return None
    senders = Senders(default=Sender(zone=settings.default_zone))
    inbox = Inbox(documents, Interactions(ours), senders, clock=now)
    return Listener(settings.mllp_host, settings.mllp_port, trail.messages(audit, inbox.receive))


def children(house: Installation, store: Adapter) -> list[Child]:
    """Give the tasks that only a server has, each restarted when it dies."""
    follower = Follower(store, store, house.ingest)

    async def sweep() -> None:
        while True:
            await store.sweep()
            await house.exporting.sweep()
            await house.deferred.sweep()
            if house.audit is not None:
                await house.audit.sweep(await house.tenant_names())
            await asyncio.sleep(_SWEEP_S)

    async def turn_keys() -> None:
        longest = house.settings.signing_key_days * _DAY_MS
        while True:
            await asyncio.to_thread(house.smart.keys.rotate_older, longest)
            await asyncio.sleep(_KEYS_S)

    found = [
        Child("keys", turn_keys),
        Child("jobs", house.runner.run),
        Child("studies", follower.run),
        Child("search parameters", house.index.follow),
        Child("sweep", sweep),
    ]
    if house.audit is not None:
        found.append(Child("audit", house.audit.following.run))
    if house.listener is not None:
        found.append(Child("mllp", house.listener.run))
    return found
