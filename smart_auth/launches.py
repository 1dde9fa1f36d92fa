"""EHR launch: the one-time value that an EHR opens an app with (SMART App Launch 2.2, EHR launch)."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.clients import Client, get_client
from smart_auth.launch_context import ID, NOTHING, REFERENCE, ContextItem, LaunchContext
from smart_auth.oauth_error import InvalidRequest, UnauthorizedClient
from smart_auth.realm import Realm
from smart_auth.records import Records, digest, new_token, now

LAUNCH_MS = 300_000
_LONGEST = 1_024
_MOST_ITEMS = 20
_IN_CONTEXT = frozenset({"ImagingStudy", "DiagnosticReport", "ServiceRequest", "Observation"})


class Launch(Struct, frozen=True, omit_defaults=True):
    """What an app of id `client` is launched with, by whom, until when (ms since 1970 UTC).

    `fhir_user` is the one person who may use it; None leaves that to the login. `user` is that person's
    account, where it is known.
    """

    client: str
    by: str
    expires: int
    patient: str | None = None
    fhir_user: str | None = None
    context: LaunchContext = NOTHING
    user: str = ""


class Launches:
    """Issues launch values and takes them once; only their hashes are stored."""

    def __init__(self, documents: Documents, clock: Callable[[], int] = now) -> None:
        self._records = Records(documents, "smart.launches", Launch)
        self._clock = clock

    async def issue(self, tenant: str, client: str, by: str, **more: Any) -> str:
        """Give a new launch value, good once within five minutes and for one app.

        `more` are further fields of `Launch`.
        """
        value, until = new_token(), self._clock() + LAUNCH_MS
        launch = Launch(client, by, until, **more)
        await self._records.put(tenant, digest(value), launch, expires=until)
        return value

    async def find(self, tenant: str, client: str, value: str) -> Launch:
        """Give what a launch value of this app stands for, without using it; raises InvalidRequest."""
        found = await self._records.get(tenant, digest(value))
        live = found is not None and found.value.expires > self._clock()
        if found is None or not live or found.value.client != client:
            raise InvalidRequest("launch is unknown, was used, has expired, or is for another app")
        return found.value

    async def take(self, tenant: str, value: str) -> bool:
        """Use a launch value; tells False where another request was quicker."""
        return await self._records.delete(tenant, digest(value))


class Launching:
    """Answers an EHR that is registered as a client and says what an app is launched with."""

    def __init__(
        self, documents: Documents, clients: ClientAuthentication, launches: Launches
    ) -> None:
        self._documents = documents
        self._clients = clients
        self._launches = launches

    async def answer(
        self, realm: Realm, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Give a launch value, its life in seconds and the URL to open; raises OAuthError.

        The form has `app`, and as far as they are in context `patient`, `encounter` and `imagingstudy`
        (logical ids), `fhirContext` (JSON as in a token response), `fhirUser`, `intent`,
        `need_patient_banner` and `smart_style_url`.
        """
        ehr = await self._clients.client(realm, form, headers)
        if not ehr.launches:
            raise UnauthorizedClient("This client is not registered to launch apps")
        app = await launchable(self._documents, realm.tenant, form.get("app", ""))
        value = await self._launches.issue(
            realm.tenant,
            app.id,
            ehr.id,
            patient=_id(form, "patient"),
            fhir_user=_reference(form, "fhirUser"),
            context=read(form),
        )
        return {
            "launch": value,
            "expires_in": LAUNCH_MS // 1_000,
            "launch_url": launch_url(realm, app, value),
        }


async def launchable(documents: Documents, tenant: str, id_: str) -> Client:
    """Give a client that can be launched; raises InvalidRequest for any other."""
    app = await get_client(documents, tenant, id_)
    if app is None or app.launch_uri is None:
        raise InvalidRequest("app is not the id of a client with a launch URI")
    return app


def launch_url(realm: Realm, app: Client, value: str) -> str:
    """Give the URL that opens the app, with `iss` and `launch`."""
    base = app.launch_uri or ""
    joint = "&" if "?" in base else "?"
    return f"{base}{joint}{urlencode({'iss': realm.fhir_url, 'launch': value})}"


def read(form: Mapping[str, str]) -> LaunchContext:
    """Read the context of a form; raises InvalidRequest, which names the parameter that is wrong."""
    items = list(_items(form))
    if study := _id(form, "imagingstudy"):
        items.insert(0, ContextItem(f"ImagingStudy/{study}"))
    return LaunchContext(
        encounter=_id(form, "encounter"),
        fhir_context=tuple(items),
        intent=_text(form, "intent"),
        need_patient_banner=_truth(form, "need_patient_banner"),
        smart_style_url=_style(form),
    )


def _items(form: Mapping[str, str]) -> tuple[ContextItem, ...]:
    try:
        items = msgspec.json.decode(form.get("fhirContext", "[]"), type=tuple[ContextItem, ...])
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("fhirContext is a JSON array of objects with a reference") from None
    known = all(REFERENCE.fullmatch(i.reference) and i.type in _IN_CONTEXT for i in items)
    if not known or len(items) > _MOST_ITEMS:
        raise InvalidRequest(
            f"fhirContext refers to at most {_MOST_ITEMS} resources, each {' or '.join(sorted(_IN_CONTEXT))}"
        )
    return items


def _id(form: Mapping[str, str], name: str) -> str | None:
    value = form.get(name)
    if value is not None and not ID.fullmatch(value):
        raise InvalidRequest(f"{name} is a logical id")
    return value


def _reference(form: Mapping[str, str], name: str) -> str | None:
    value = form.get(name)
    if value is not None and not REFERENCE.fullmatch(value):
        raise InvalidRequest(f"{name} is a relative reference such as Practitioner/ID")
    return value


def _text(form: Mapping[str, str], name: str) -> str | None:
    value = form.get(name)
    if value is not None and (len(value) > _LONGEST or not value.isprintable()):
        raise InvalidRequest(f"{name} is a line of at most {_LONGEST} characters")
    return value


def _truth(form: Mapping[str, str], name: str) -> bool | None:
    value = form.get(name)
    if value not in {None, "true", "false"}:
        raise InvalidRequest(f"{name} is true or false")
    return None if value is None else value == "true"


def _style(form: Mapping[str, str]) -> str | None:
    url = _text(form, "smart_style_url")
    if url is not None and not url.startswith(("https://", "http://")):
        raise InvalidRequest("smart_style_url is an absolute URL")
    return url
