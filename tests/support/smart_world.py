"""An authorisation server in memory with its clock, and the steps of a flow (SMART App Launch 2.2)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwt
from smart_browser import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server.access import Access
from fhir_server.store.port import Document
from resources.outcome import Unauthorised
from smart_auth.keys import KeyRing
from smart_auth.launch import PatientChoice
from smart_auth.policy import Policy
from smart_auth.routes import routes, smart_configuration
from smart_auth.smart import Ports, Smart

BASE = "http://127.0.0.1:8080"
FHIR = f"{BASE}/fhir"
CALLBACK = "http://127.0.0.1:9000/callback"
LAUNCH = "http://127.0.0.1:9000/launch"
VERIFIER = "v" * 64
START = 1_800_000_000_000


class Clock:
    """Milliseconds that move only when told."""

    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1_000)


class DictDocuments:
    """The Documents port over a dict, by a clock of the test's."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.held: dict[tuple[str, str, str], Document] = {}
        self.reads = 0

    def _live(self, place: tuple[str, str, str]) -> Document | None:
        found = self.held.get(place)
        expired = found is not None and found.expires is not None and found.expires <= self.clock()
        return None if expired else found

    async def get(self, tenant: str, namespace: str, key: str) -> Document | None:
        self.reads += 1
        await asyncio.sleep(0)
        return self._live((tenant, namespace, key))

    async def put(
        self,
        tenant: str,
        namespace: str,
        key: str,
        value: bytes,
        *,
        expires: int | None = None,
        revision: int | None = None,
    ) -> int | None:
        await asyncio.sleep(0)
        held = self._live((tenant, namespace, key))
        current = held.revision if held else 0
        if revision is not None and revision != current:
            return None
        self.held[tenant, namespace, key] = Document(key, value, current + 1, expires)
        return current + 1

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        was = self._live((tenant, namespace, key)) is not None
        self.held.pop((tenant, namespace, key), None)
        return was

    async def list(
        self, tenant: str, namespace: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Document]:
        keys = sorted(k for t, n, k in self.held if (t, n) == (tenant, namespace) and k > after)
        found = (self._live((tenant, namespace, key)) for key in keys[:limit])
        return [document for document in found if document is not None]

    async def sweep(self) -> int:
        return 0


HELD = {
    "ann": ("ImagingStudy/s1", "ImagingStudy/s2", "Encounter/e1", "DiagnosticReport/r1"),
    "bob": ("ImagingStudy/s9",),
}


class TwoPatients:
    """Ann and Bob; what was searched for is kept."""

    known = (PatientChoice("ann", "Ann Example, 1970"), PatientChoice("bob", "Bob Example, 1980"))

    async def find(self, tenant: str, access: Access, text: str) -> Sequence[PatientChoice]:
        return [c for c in self.known if text.lower() in c.label.lower() and access.grants]

    async def get(self, tenant: str, access: Access, id_: str) -> PatientChoice | None:
        return next((c for c in self.known if c.id == id_ and access.grants), None)

    async def resources(self, tenant, access, type_, patient) -> Sequence[PatientChoice]:
        references = (one.split("/") for one in HELD[patient])
        return [PatientChoice(id_, f"{kind} {id_}") for kind, id_ in references if kind == type_]

    async def resource(self, tenant, access, reference, patient) -> PatientChoice | None:
        held = HELD[patient] if patient else sum(HELD.values(), ())
        seen = access.grants and reference in held
        return PatientChoice(reference.partition("/")[2], reference) if seen else None


@dataclass
class World:
    """One installation with its clock, and the steps of a flow."""

    smart: Smart
    clock: Clock
    documents: DictDocuments
    app: Starlette
    http: httpx.AsyncClient
    keys: dict[str, Any]
    jwks_urls: dict[str, Any]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def browser(self) -> Browser:
        transport = httpx.ASGITransport(self.app)
        return Browser(httpx.AsyncClient(transport=transport, base_url=BASE))

    def request(self, **changes: str | None) -> dict[str, str]:
        """An authorisation request in order, with changes; None leaves a parameter out."""
        challenge = hashlib.sha256(VERIFIER.encode()).digest()
        right: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": CALLBACK,
            "scope": "openid fhirUser launch/patient offline_access patient/*.rs",
            "state": "s1",
            "aud": FHIR,
            "nonce": "n1",
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {k: v for k, v in (right | changes).items() if v is not None}

    async def authorize(
        self, user: str = "doc", patient: str = "ann", **changes: str | None
    ) -> dict[str, str]:
        """Walk through login, patient and consent; give what the app's callback receives."""
        browser = self.browser()
        page = await browser.get("/auth/authorize", **self.request(**changes))
        page = await browser.log_in(page, user)
        if "Which patient" in page.text:
            page = await browser.submit(page, nth=1, patient=patient)
        done = await browser.submit(page, decision="allow")
        assert done.status_code == 303, done.text
        return callback(done)

    async def token(self, granted: str, /, **changes: str | None) -> httpx.Response:
        """Exchange a code as the public app does."""
        right: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": granted,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": "app",
        }
        return await self.post({k: v for k, v in (right | changes).items() if v is not None})

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """The whole flow: give the token response."""
        got = await self.authorize(**changes)
        answer = await self.token(got["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, data: dict[str, str], path: str = "/auth/token", **kw) -> httpx.Response:
        return await self.http.post(path, data=data, **kw)

    async def backend(self, assertion: str, **changes: str) -> httpx.Response:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        right = {
            "grant_type": "client_credentials",
            "scope": "system/*.rs",
            "client_assertion_type": kind,
            "client_assertion": assertion,
        }
        return await self.post(right | changes)

    def assertion(self, alg: str = "RS384", key: Any = None, kid: str | None = "", **changes: Any):
        """A client assertion in order, with changes; a claim of None is left out."""
        now = self.clock() // 1_000
        claims = {
            "iss": "service",
            "sub": "service",
            "aud": f"{BASE}/auth/token",
            "exp": now + 240,
            "jti": f"assertion-{next(self.numbers)}",
        }
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        header = {"alg": alg, "typ": "JWT"}
        if kid is not None:
            header["kid"] = kid or alg
        return jwt.encode(header, claims, key or self.keys[alg], algorithms=[alg])

    async def access(self, token: str, tenant: str = "default") -> Access:
        return await self.smart.authorizer.access(tenant, {"authorization": f"Bearer {token}"})


def hmac_signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token signed with HMAC over any secret: how key confusion is tried."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in (header, claims)]
    text = b".".join(part.rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.new(secret, text, "sha256").digest()).rstrip(b"=")
    return (text + b"." + mac).decode()


def callback(response: httpx.Response) -> dict[str, str]:
    """What the app's callback receives."""
    parts = urlsplit(response.headers["location"])
    assert response.headers["location"].startswith(CALLBACK), response.headers["location"]
    return dict(parse_qsl(parts.query))


def build(
    documents: Any, clock: Clock, ring: KeyRing, client_keys: dict[str, Any], **ports: Any
) -> World:
    """An installation over some documents; `ports` are further ones."""
    urls: dict[str, Any] = {}

    async def fetch(url: str) -> bytes:
        answer = urls[url]
        return answer() if callable(answer) else answer

    async def has_tenant(name: str) -> bool:
        return name in {"default", "other"}

    ports = {"policy": Policy(simulator=True)} | ports
    smart = Smart(documents, ring, BASE, Ports(TwoPatients(), has_tenant, fetch, clock, **ports))

    async def guarded(request: Request) -> Response:
        tenant = request.path_params.get("tenant", "default")
        try:
            access = await smart.authorizer.access(tenant, request.headers)
        except Unauthorised:
            return JSONResponse({}, 401)
        return JSONResponse({"patient": access.patient, "scopes": access.scopes})

    document = smart_configuration(smart)
    app = Starlette(
        routes=[
            *routes(smart),
            Route("/fhir/.well-known/smart-configuration", document),
            Route("/t/{tenant}/fhir/.well-known/smart-configuration", document),
            Route("/fhir/Patient", guarded),
            Route("/t/{tenant}/fhir/Patient", guarded),
        ]
    )
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    return World(smart, clock, documents, app, http, client_keys, urls)
