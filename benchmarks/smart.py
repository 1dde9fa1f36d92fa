"""What SMART costs: CPU time of a token check that was done before, and of the token endpoint.

Over the embedded store, fully durable, through the routes as they are served:

    python -m benchmarks.smart
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.types import Message, Scope

from fhir_server.app import stores
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import Settings
from resources import definitions
from smart_auth.clients import Registration, add_client
from smart_auth.grant import Granted
from smart_auth.keys import KeyRing
from smart_auth.operator_token import OperatorToken, mint
from smart_auth.routes import routes
from smart_auth.smart import Smart

BASE = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9000/callback"
CHECK_US, TOKEN_US = 40, 3_000
_SCOPE = "openid fhirUser launch/patient offline_access patient/*.rs"
_VERIFIER = "v" * 64
_CHALLENGE = "w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM"
_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def check(smart: Smart, count: int) -> float:
    """Give the CPU microseconds of checking a warm token."""
    token = mint(smart.keys, OperatorToken("patient/*.rs user/*.rs", "p1", "Practitioner/1"))
    headers = {"authorization": f"Bearer {token}"}
    await smart.authorizer.access("default", headers)
    begun = time.process_time()
    for _ in range(count):
        await smart.authorizer.access("default", headers)
    return (time.process_time() - begun) / count * 1e6


async def posted(app: Starlette, form: dict[str, str]) -> dict[str, Any]:
    """Post a form to the token endpoint through the routes, without a network between."""
    body = urlencode(form).encode()
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/auth/token",
        "raw_path": b"/auth/token",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    answer = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answer.extend(message.get("body", b""))

    await app(scope, receive, send)
    told: dict[str, Any] = json.loads(answer)
    if "access_token" not in told:
        raise RuntimeError(f"no token: {told.get('error')}")
    return told


async def timed(ask: Callable[[int], Awaitable[None]], count: int) -> float:
    """Give the CPU microseconds of a request, the store's threads included."""
    begun = time.process_time()
    for number in range(count):
        await ask(number)
    return (time.process_time() - begun) / count * 1e6


def assertions(key: RSAKey, count: int) -> Iterator[str]:
    """Give signed assertions of the service, made before the measuring."""
    claims = {"iss": "service", "sub": "service", "aud": f"{BASE}/auth/token"}
    until = int(time.time()) + 280
    for number in range(count):
        each = claims | {"exp": until, "jti": str(number)}
        header = {"alg": "RS384", "kid": "k"}
        yield jwt.encode(header, each, key, algorithms=["RS384"])


async def token_requests(smart: Smart, count: int) -> dict[str, float]:
    """Give the CPU microseconds of each kind of token request."""
    app = Starlette(routes=routes(smart))
    key = RSAKey.generate_key(2048, {"kid": "k", "use": "sig"})
    jwks = {"keys": [dict(key.as_dict(private=False))]}
    service = Registration("service", "asymmetric", scopes="system/*.rs", keys=jwks)
    await add_client(smart.documents, "default", service)
    await add_client(smart.documents, "default", Registration("app", "public", "", (CALLBACK,)))
    codes = [await _code(smart, number) for number in range(count)]
    signed = list(assertions(key, count))
    refresh = [""]

    async def by_code(number: int) -> None:
        form = {"code": codes[number], "redirect_uri": CALLBACK, "code_verifier": _VERIFIER}
        told = await posted(app, form | {"grant_type": "authorization_code", "client_id": "app"})
        refresh[0] = told["refresh_token"]

    async def by_refresh(number: int) -> None:
        del number
        form = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": refresh[0]}
        refresh[0] = (await posted(app, form))["refresh_token"]

    async def by_assertion(number: int) -> None:
        form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
        proof = {"client_assertion_type": _JWT, "client_assertion": signed[number]}
        await posted(app, form | proof)

    return {
        "token by code": await timed(by_code, count),
        "token by refresh": await timed(by_refresh, count),
        "token by assertion": await timed(by_assertion, count),
    }


async def _code(smart: Smart, number: int) -> str:
    granted = Granted(
        client="app",
        user="doc",
        sub=f"sub-{number}",
        fhir_user="Practitioner/1",
        scope=_SCOPE,
        authenticated=0,
        session="",
        patient="p1",
    )
    return await smart.grants.code("default", granted, CALLBACK, _CHALLENGE)


async def measure(folder: Path, checks: int, requests: int) -> dict[str, float]:
    """Give CPU microseconds by what was measured."""
    settings = Settings(data=folder)
    store = stores.chosen(settings, SearchParameters(definitions.load()))
    await store.open()
    try:
        smart = Smart(store, KeyRing(folder / "keys"), BASE)
        return {"token check, warm": await check(smart, checks)} | await token_requests(
            smart, requests
        )
    finally:
        await store.close()


def main() -> None:
    """Measure and print a line each, with its budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smart")
    parser.add_argument("--checks", type=int, default=20_000, help="token checks")
    parser.add_argument("--requests", type=int, default=200, help="token requests of each kind")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), given.checks, given.requests))
    for name, spent in found.items():
        budget = CHECK_US if name.startswith("token check") else TOKEN_US
        print(f"{name:<24}{spent:>8.1f} µs CPU, budget {budget}")


if __name__ == "__main__":
    main()
