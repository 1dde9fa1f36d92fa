"""Opening an app from our own pages, with the patient and the study in hand (SMART App Launch 2.2)."""

from collections.abc import Mapping

from starlette.responses import RedirectResponse, Response

from smart_auth.clients import list_clients
from smart_auth.launch_context import ID
from smart_auth.launches import launch_url, launchable, read
from smart_auth.oauth_error import InvalidRequest
from smart_auth.own_page import OwnPage
from smart_auth.sessions import Session, session_access

_CONTEXT = ("patient", "encounter", "imagingstudy")


class Apps(OwnPage):
    """The apps that can be launched for what the address names; its form launches one."""

    purpose = "apps"
    failed = "This launch is not possible"

    async def _done(self, session: Session, form: Mapping[str, str]) -> Response:
        tenant = self._realm.tenant
        app = await launchable(self._smart.documents, tenant, form.get("app", ""))
        given = {name: form[name] for name in _CONTEXT if name in form}
        value = await self._smart.launches.issue(
            tenant,
            app.id,
            session.sub,
            patient=given.get("patient"),
            fhir_user=session.fhir_user,
            user=session.user,
            context=read(given | {"smart_style_url": self._realm.url("style")}),
        )
        return RedirectResponse(launch_url(self._realm, app, value), 303)

    async def _shown(
        self, session: Session, asked: Mapping[str, str], *, status: int = 200
    ) -> Response:
        held = [(name, asked[name]) for name in _CONTEXT if name in asked]
        if not all(ID.fullmatch(value) for _, value in held):
            raise InvalidRequest("patient, encounter and imagingstudy are logical ids")
        clients = await list_clients(self._smart.documents, self._realm.tenant)
        patient = None
        if "patient" in asked:
            access = session_access(session)
            patients = self._smart.patients
            patient = await patients.get(self._realm.tenant, access, asked["patient"])
        return self._smart.pages.answer(
            "apps",
            status,
            action=self._realm.local("apps"),
            form_token=self._form_token(session),
            apps=[one for one in clients if one.launch_uri],
            patient=patient,
            held=held,
        )
