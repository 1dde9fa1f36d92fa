"""The EHR simulator: pick user, patient, visit and study, and launch an app; for development.

It shows what the person who is logged in may see, and launches as the EHR would (SMART App Launch 2.2, EHR
launch). An app that is launched for another user asks that user to log in.
"""

from collections.abc import Mapping
from typing import Any

from starlette.responses import RedirectResponse, Response

from smart_auth.clients import list_clients
from smart_auth.launch import PatientChoice
from smart_auth.launch_context import ID
from smart_auth.launches import launch_url, launchable, read
from smart_auth.own_page import OwnPage
from smart_auth.sessions import Session, session_access
from smart_auth.users import list_users

_TYPES = {
    "encounter": "Encounter",
    "imagingstudy": "ImagingStudy",
    "diagnosticreport": "DiagnosticReport",
}


class Simulator(OwnPage):
    """What may be launched for whom; its form picks the patient, or launches."""

    purpose = "simulator"
    way_back = "simulator"
    failed = "This launch is not possible"

    async def _shown(
        self, session: Session, asked: Mapping[str, str], *, status: int = 200
    ) -> Response:
        del asked  # nothing is picked but by a form of the session's own
        return await self._picking(session, {}, status)

    async def _done(self, session: Session, form: Mapping[str, str]) -> Response:
        if form.get("decision") == "launch":
            return await self._launched(session, form)
        return await self._picking(session, form, 200)

    async def _launched(self, session: Session, form: Mapping[str, str]) -> Response:
        """Issue a launch value and open the app with it."""
        tenant = self._realm.tenant
        app = await launchable(self._smart.documents, tenant, form.get("app", ""))
        given = dict(form) | {"smart_style_url": self._realm.url("style")}
        if report := form.get("diagnosticreport"):
            given["fhirContext"] = f'[{{"reference":"DiagnosticReport/{report}"}}]'
        user = await self._smart.users.get(tenant, form.get("user", session.user))
        patient = form.get("patient", "")
        value = await self._smart.launches.issue(
            tenant,
            app.id,
            session.sub,
            patient=patient if ID.fullmatch(patient) else None,
            fhir_user=user.fhir_user if user else session.fhir_user,
            user=user.name if user else session.user,
            context=read(given),
        )
        return RedirectResponse(launch_url(self._realm, app, value), 303)

    async def _picking(self, session: Session, form: Mapping[str, str], status: int) -> Response:
        """Show what can be picked, beside what the form has picked already."""
        tenant, access = self._realm.tenant, session_access(session)
        clients = await list_clients(self._smart.documents, tenant)
        patient = await self._patient(session, form)
        resources: dict[str, Any] = {}
        if patient is not None:
            for name, type_ in _TYPES.items():
                resources[name] = await self._smart.patients.resources(
                    tenant, access, type_, patient.id
                )
        return self._smart.pages.answer(
            "simulator",
            status,
            action=self._realm.local("simulator"),
            form_token=self._form_token(session),
            apps=[one for one in clients if one.launch_uri],
            users=[
                one for one in await list_users(self._smart.documents, tenant) if not one.issuer
            ],
            me=session.user,
            patient=patient,
            patients=()
            if patient
            else await self._smart.patients.find(tenant, access, form.get("text", "")),
            text=form.get("text", ""),
            resources=resources,
        )

    async def _patient(self, session: Session, form: Mapping[str, str]) -> PatientChoice | None:
        id_ = form.get("patient", "")
        if not ID.fullmatch(id_):
            return None
        return await self._smart.patients.get(self._realm.tenant, session_access(session), id_)
