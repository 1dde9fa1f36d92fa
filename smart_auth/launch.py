"""Launch context: which patient, visit and images an app is about (SMART App Launch 2.2 §4).

Of an EHR launch the EHR has said it; of a standalone launch the user picks. Either way it is only what
the user may see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fhir_server.access import Access
from smart_auth.launch_context import ID, NOTHING, ContextItem, LaunchContext
from smart_auth.launches import Launch
from smart_auth.oauth_error import AccessDenied
from smart_auth.scopes import Scopes
from smart_auth.sessions import Session, session_access

WITHOUT = "*"
"""What a form says where the user goes on without a visit or study; no logical id."""
Open = Literal["", "patient", "encounter", "imagingstudy"]
_TYPES: tuple[tuple[Open, str], ...] = (
    ("encounter", "Encounter"),
    ("imagingstudy", "ImagingStudy"),
)


@dataclass(frozen=True, slots=True)
class PatientChoice:
    """A patient, or a resource of one, as the picker shows it: logical id and a label a person knows."""

    id: str
    label: str


class Patients(Protocol):
    """Finds what a user may see; the composition root gives one over the search interaction."""

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        """Give a page of patients whose name or identifier fits the text (empty: any)."""

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        """Give one patient by logical id, None if the user may not see one of that id."""

    async def resources(
        self, tenant: str, access: Access, type_: str, patient: str
    ) -> Sequence[PatientChoice]:
        """Give a page of a patient's resources of a type, the newest first."""

    async def resource(
        self, tenant: str, access: Access, reference: str, patient: str | None
    ) -> PatientChoice | None:
        """Give one resource by relative reference; None if it is not that patient's, or out of reach."""


class NoPatients:
    """Finds nobody: for an installation whose composition root gives no search."""

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        """Give no choice."""
        del tenant, access, text
        return ()

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        """Give nobody."""
        del tenant, access, id_
        return None

    async def resources(
        self, tenant: str, access: Access, type_: str, patient: str
    ) -> Sequence[PatientChoice]:
        """Give no choice."""
        del tenant, access, type_, patient
        return ()

    async def resource(
        self, tenant: str, access: Access, reference: str, patient: str | None
    ) -> PatientChoice | None:
        """Give nothing."""
        del tenant, access, reference, patient
        return None


@dataclass(frozen=True, slots=True)
class Picked:
    """What is in context, as far as it is known; `open` is what the user has still to pick."""

    patient: PatientChoice | None = None
    context: LaunchContext = NOTHING
    shown: tuple[PatientChoice, ...] = ()
    open: Open = ""


@dataclass(frozen=True, slots=True)
class Picking:
    """Finds the launch context of one user's request; raises AccessDenied for what is out of reach."""

    patients: Patients
    tenant: str
    session: Session

    async def given(self, scopes: Scopes, form: Mapping[str, str], launch: Launch | None) -> Picked:
        """Give the context of an EHR launch, or of what the form says was picked so far."""
        if launch is not None:
            return await self._launched(scopes, form, launch)
        if not scopes.needs_patient:
            return Picked()
        patient = await chosen(self.patients, self.tenant, self.session, form.get("patient", ""))
        if patient is None:
            return Picked(open="patient")
        return await self._picked(scopes, form, patient)

    async def choices(self, picked: Picked, text: str) -> Sequence[PatientChoice]:
        """Give what the user may pick of next."""
        access = session_access(self.session)
        if picked.patient is None:
            return await self.patients.find(self.tenant, access, text)
        return await self.patients.resources(
            self.tenant, access, dict(_TYPES)[picked.open], picked.patient.id
        )

    async def _launched(self, scopes: Scopes, form: Mapping[str, str], launch: Launch) -> Picked:
        if launch.fhir_user not in {None, self.session.fhir_user}:
            raise AccessDenied("The app was launched for another user")
        patient = None
        id_ = launch.patient or (form.get("patient", "") if scopes.needs_patient else "")
        if id_:
            patient = await self.patients.get(self.tenant, session_access(self.session), id_)
        if launch.patient and patient is None:
            raise AccessDenied("This user may not see the patient of the launch")
        if patient is None and scopes.needs_patient:
            return Picked(open="patient")
        references = list(launch.context.references)
        if launch.context.encounter:
            references.insert(0, f"Encounter/{launch.context.encounter}")
        shown = [await self._seen(one, patient) for one in references]
        return Picked(patient, launch.context, tuple(shown))

    async def _picked(
        self, scopes: Scopes, form: Mapping[str, str], patient: PatientChoice
    ) -> Picked:
        found: dict[str, PatientChoice] = {}
        for name, type_ in _TYPES:
            id_ = form.get(name, "")
            if f"launch/{name}" not in scopes or id_ == WITHOUT:
                continue
            if not ID.fullmatch(id_):
                return Picked(patient, open=name)
            found[name] = await self._seen(f"{type_}/{id_}", patient)
        study = found.get("imagingstudy")
        context = LaunchContext(
            encounter=found["encounter"].id if "encounter" in found else None,
            fhir_context=(ContextItem(f"ImagingStudy/{study.id}"),) if study else (),
        )
        return Picked(patient, context, tuple(found.values()))

    async def _seen(self, reference: str, patient: PatientChoice | None) -> PatientChoice:
        found = await self.patients.resource(
            self.tenant, session_access(self.session), reference, patient.id if patient else None
        )
        if found is None:
            raise AccessDenied("This user may not see what the app would be launched with")
        return found


def allowed(picked: Picked, agreed: Scopes) -> tuple[str | None, LaunchContext]:
    """Give patient and context that the app is told, by the launch scopes that the user agreed to."""
    launched = "launch" in agreed
    patient = picked.patient if launched or agreed.needs_patient else None
    context = picked.context
    encounter = context.encounter if launched or "launch/encounter" in agreed else None
    items = context.fhir_context if launched or "launch/imagingstudy" in agreed else ()
    return patient.id if patient else None, LaunchContext(
        encounter,
        items,
        context.intent,
        context.need_patient_banner,
        context.smart_style_url,
    )


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
