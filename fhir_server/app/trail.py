"""The audit trail as the settings want it, and the doors that tell it what no interaction does."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from fhir_server import identifiers
from fhir_server.app.clock import now
from fhir_server.audit.alerts import Rules
from fhir_server.audit.record import Record
from fhir_server.audit.trail import REQUEST_ID, WITHIN
from fhir_server.auditing import FOLDER, Auditing, Kept, Ours
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind, Progress
from fhir_server.settings import Settings
from fhir_server.store.port import Documents
from fhir_server.supervision import server_name
from fhir_server.tenancy import DEFAULT
from smart_auth.keys import KeyRing

_ACCEPTED = re.compile(rb"\rMSA.[AC]A\b")
_HEAD = 1_000


class Peer(Protocol):
    """The other end of a connection."""

    @property
    def host(self) -> str:
        """Give its address."""


Receive = Callable[[bytes, Any], Awaitable[bytes]]


def auditing(
    settings: Settings,
    documents: Documents,
    keys: KeyRing,
    public_url: str,
    ours: Ours,
) -> Auditing | None:
    """Give the audit trail, none where the settings turn it off."""
    if settings.audit == "off":
        return None
    kept = Kept(
        settings.data / FOLDER,
        keys.secret("audit"),
        documents,
        server_name(settings.data),
        public_url,
        settings.audit_retention_days,
        settings.audit_failure == "refuse",
    )
    rules = Rules(settings.audit_alert_patients, settings.audit_hours)
    return Auditing(kept, now, ours, rules)


def messages(audit: Auditing | None, receive: Receive) -> Receive:
    """Tell of every HL7 v2 message what became of it, and let what it writes carry its request id."""
    if audit is None:
        return receive
    trail = audit.trail

    async def told(raw: bytes, peer: Peer) -> bytes:
        """Answer one message, and give the trail what became of it before the answer leaves."""
        written: list[Record] = []
        REQUEST_ID.set(identifiers.hexadecimal())
        WITHIN.set(written)
        answered = await receive(raw, peer)
        kind, control = _header(raw)
        references = [what for record in written for _, what in record.written]
        trail.event(
            written[-1].tenant if written else DEFAULT,
            "mllp",
            "message",
            200 if _ACCEPTED.search(answered) else 422,
            client=peer.host,
            address=peer.host,
            note=f"{kind} {control}".strip(),
            what=[one for one in references if one.startswith("Patient/")],
        )
        await trail.synced()
        return answered

    return told


def _header(raw: bytes) -> tuple[str, str]:
    """Give message type and control id of a message's first segment, as far as they can be read."""
    fields = (
        raw[:_HEAD].split(b"\r")[0].decode("latin-1").split(chr(raw[3]) if len(raw) > 3 else "|")
    )
    return (fields[8] if len(fields) > 8 else ""), (fields[9] if len(fields) > 9 else "")


def job(audit: Auditing | None, kind: Kind, name: str) -> Kind:
    """Tell of the end of every job of a kind: an inference, an export."""
    if audit is None:
        return kind
    trail = audit.trail

    async def told(job: Job, progress: Progress) -> dict[str, Any]:
        """Do one job, and give the trail how it ended, by a fault too."""
        REQUEST_ID.set(job.id)
        status = 500
        try:
            output = await kind.work(job, progress)
            status = 200
        finally:
            focus = job.input.get("focus")
            trail.event(
                job.tenant,
                "jobs",
                name,
                status,
                subject=job.owner.subject,
                client=job.owner.client,
                user=job.requester or "",
                what=[focus] if isinstance(focus, str) else (),
                note=" ".join(map(str, filter(None, (job.input.get("model"), job.id)))),
            )
        return output

    return replace(kind, work=told)
