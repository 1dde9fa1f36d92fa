"""The doors beside REST: SMART, the HL7 v2 listener, studies that come in; and the supervised children."""

import asyncio
from collections.abc import Callable

from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuers
from dicomweb_bridge.ingest import Ingest
from fhir_server import tenancy
from fhir_server.app.clock import now
from fhir_server.app.stores import Adapter
from fhir_server.app.work import ContextFor
from fhir_server.context import Context
from fhir_server.hl7v2.door import Interactions
from fhir_server.hl7v2.inbox import Inbox
from fhir_server.hl7v2.listener import Listener
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.installation import Installation, registered
from fhir_server.joints import Directory, Follower, PatientPicker, identifier_system, zone_of
from fhir_server.settings import Settings
from fhir_server.store.port import Documents, instant
from fhir_server.supervision import Child
from smart_auth.keys import KeyRing
from smart_auth.smart import Ports, Smart

_SWEEP_S = 600.0


def smart(settings: Settings, store: Adapter, public_url: str, context_for: ContextFor) -> Smart:
    """Give the authorisation server."""

    async def has_tenant(name: str) -> bool:
        return await registered(store, name)

    ports = Ports(patients=PatientPicker(context_for), has_tenant=has_tenant, clock=now)
    return Smart(store, KeyRing(settings.data / "keys", now), public_url, ports)


def ingest(
    settings: Settings, archive: LocalArchive, public_url: str, ours: Callable[[str], Context]
) -> Ingest:
    """Give what makes studies of instances."""

    def address(tenant: str) -> str:
        return f"{public_url}{tenancy.path(tenant)}/dicom-web"

    directory = Directory(ours)
    issuers = Issuers(system=identifier_system, zone=zone_of(settings.default_zone))
    return Ingest(
        archive,
        directory,
        directory.transact,
        issuers=issuers,
        address=address,
        now=lambda: instant(now()),
    )


def listener(
    settings: Settings, documents: Documents, ours: Callable[[str], Context]
) -> Listener | None:
    """Give the HL7 v2 listener, none where the settings say off."""
    if settings.mllp_port is None:
        return None
    senders = Senders(default=Sender(zone=settings.default_zone))
    inbox = Inbox(documents, Interactions(ours), senders, clock=now)
    return Listener(settings.mllp_host, settings.mllp_port, inbox.receive)


def children(house: Installation, store: Adapter) -> list[Child]:
    """Give the tasks that only a server has, each restarted when it dies."""
    follower = Follower(store, store, house.ingest)

    async def sweep() -> None:
        while True:
            await store.sweep()
            await house.exporting.sweep()
            await house.deferred.sweep()
            await asyncio.sleep(_SWEEP_S)

    found = [
        Child("jobs", house.runner.run),
        Child("studies", follower.run),
        Child("search parameters", house.index.follow),
        Child("sweep", sweep),
    ]
    if house.listener is not None:
        found.append(Child("mllp", house.listener.run))
    return found
