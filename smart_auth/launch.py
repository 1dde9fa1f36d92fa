"""Launch context of a standalone launch: which patient the app is about (SMART App Launch 2.2 §4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.access import Access
from smart_auth.oauth_error import AccessDenied
from smart_auth.sessions import Session, session_access


@dataclass(frozen=True, slots=True)
class PatientChoice:
    """A patient as the picker shows one: logical id and a label a person recognises."""

    id: str
    label: str


class Patients(Protocol):
    """Finds patients that a user may see; the composition root gives one over the search interaction."""

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        """Give a page of patients whose name or identifier fits the text (empty: any)."""

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        """Give one patient by logical id, None if the user may not see one of that id."""


def own_patient(session: Session) -> str | None:
    """Give the logical id of the user's own Patient, None where the user is no patient."""
    kind, _, id_ = session.fhir_user.partition("/")
    return id_ if kind == "Patient" else None


async def chosen(
    patients: Patients, tenant: str, session: Session, id_: str
) -> PatientChoice | None:
    """Give the patient for the context: a Patient user's own, else the one picked if the user may see it.

    None: none was picked yet. Raises AccessDenied for a user who may pick nobody.
    """
    access = session_access(session)
    own = own_patient(session)
    if own is not None:
        return await patients.get(tenant, access, own) or PatientChoice(own, "you")
    if not access.grants:
        raise AccessDenied("This user may not choose a patient")
    return await patients.get(tenant, access, id_) if id_ else None
