"""Opening an app from our own pages, with the patient and the study in hand (SMART App Launch 2.2)."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import forms
from smart_auth.clients import list_clients
from smart_auth.launch_context import ID
from smart_auth.launches import launch_url, launchable, read
from smart_auth.oauth_error import InvalidRequest, OAuthError
from smart_auth.realm import Realm
from smart_auth.sessions import Session, session_access
from smart_auth.smart import Smart

_PURPOSE = "apps"
_CONTEXT = ("patient", "encounter", "imagingstudy")


class Apps:
    """Answers the page of one realm: which app, for what the address names."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm

    async def answer(self, request: Request) -> Response:
        """Show the apps that can be launched, or launch the one that the form names."""
        session = await self._smart.sessions.find(self._realm, request.headers)
        if session is None:
            return RedirectResponse(self._realm.local("login"), 303)
        try:
            if request.method == "GET":
                return await self._shown(session, forms.once(forms.query(request)))
            form = forms.once(await forms.body(request))
            token = form.get("form_token", "")
            if not self._smart.sessions.is_form_token(session, _PURPOSE, token):
                return await self._shown(session, form, status=403)
            return await self._launched(session, form)
        except OAuthError as error:
            return self._smart.pages.message("This launch is not possible", error.description, 400)

    async def _launched(self, session: Session, form: Mapping[str, str]) -> Response:
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
        self, session: Session, given: Mapping[str, str], *, status: int = 200
    ) -> Response:
        held = [(name, given[name]) for name in _CONTEXT if name in given]
        if not all(ID.fullmatch(value) for _, value in held):
            raise InvalidRequest("patient, encounter and imagingstudy are logical ids")
        clients = await list_clients(self._smart.documents, self._realm.tenant)
        patient = None
        if "patient" in given:
            access = session_access(session)
            patients = self._smart.patients
            patient = await patients.get(self._realm.tenant, access, given["patient"])
        return self._smart.pages.answer(
            "apps",
            status,
            action=self._realm.local("apps"),
            form_token=self._smart.sessions.form_token(session, _PURPOSE),
            apps=[one for one in clients if one.launch_uri],
            patient=patient,
            held=held,
        )
