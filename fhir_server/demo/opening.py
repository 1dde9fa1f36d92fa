"""The day begins: clients and radiologist are registered, each gets a token of its own."""

from typing import Any

import httpx

from fhir_server.demo import accounts
from fhir_server.demo.accounts import Accounts
from fhir_server.demo.browser import App, Launch, Person
from fhir_server.demo.oauth import Service
from fhir_server.demo.rest import Fhir, expect, reference, resource
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Place
from fhir_server.settings import Settings
from resources.model import Resource, serialise

_STAFF = "https://hounsfield.example/fhir/NamingSystem/demo-staff"

Server = tuple[str, dict[str, Any]]
"""A server's FHIR base and its SMART configuration."""


async def opened(
    http: httpx.AsyncClient,
    base: str,
    mllp: tuple[str, int],
    settings: Settings,
    notes: Notes,
) -> Place:
    """Register who takes part, and give the place with a token for each of them."""
    known = await accounts.clients(settings)
    server = base, await _smart(http, base, notes)
    workflow = _service(http, server, known, accounts.WORKFLOW)
    practitioner = await _practitioner(workflow, notes)
    await accounts.radiologist(settings, practitioner, known.password)
    person = Person(accounts.RADIOLOGIST, known.password)
    reader, answer = await launched(http, server, accounts.READING_ROOM, person)
    require("patient" not in answer, "the reading room has got a patient that it did not ask for")
    notes.facts |= {"clients": [*accounts.SERVICES, *accounts.APPS], "practitioner": practitioner}
    return Place(
        base=base,
        mllp=mllp,
        smart=server[1],
        practitioner=practitioner,
        password=known.password,
        modality=_service(http, server, known, accounts.MODALITY),
        workflow=workflow,
        warehouse=_service(http, server, known, accounts.WAREHOUSE),
        reader=reader,
    )


async def launched(
    http: httpx.AsyncClient, server: Server, client: str, person: Person
) -> tuple[Fhir, dict[str, Any]]:
    """Launch an app in a browser of its own; gives FHIR under its token, and the rest of the answer."""
    base, smart = server
    app = App(client, accounts.CALLBACK, accounts.APPS[client])
    async with httpx.AsyncClient(timeout=http.timeout) as browser:
        answer = await Launch(browser, smart, base, app).token(person)
    token = str(answer.pop("access_token"))

    async def known() -> str:
        return token

    return Fhir(http, base, known), answer


async def _smart(http: httpx.AsyncClient, base: str, notes: Notes) -> dict[str, Any]:
    """Give the SMART configuration, which a client begins with (SMART App Launch 2.2 §8)."""
    url = f"{base}/.well-known/smart-configuration"
    response = await http.get(url, headers={"Accept": "application/json"})
    expect(response, 200)
    notes.url(url)
    found: dict[str, Any] = response.json()
    return found


def _service(http: httpx.AsyncClient, server: Server, known: Accounts, name: str) -> Fhir:
    base, smart = server
    client = (name, known.keys[name])
    service = Service(http, smart["token_endpoint"], client, accounts.SERVICES[name])
    return Fhir(http, base, service.token)


async def _practitioner(fhir: Fhir, notes: Notes) -> str:
    """Give the radiologist's Practitioner, created unless it is there."""
    person: Resource = {
        "resourceType": "Practitioner",
        "identifier": [{"system": _STAFF, "value": accounts.RADIOLOGIST}],
        "active": True,
        "name": [{"family": "Moreau", "given": ["Claire"], "prefix": ["Dr"]}],
    }
    condition = f"identifier={_STAFF}|{accounts.RADIOLOGIST}"
    headers = {"Content-Type": "application/fhir+json", "If-None-Exist": condition}
    created = await fhir.send("POST", "Practitioner", headers=headers, body=serialise(person))
    found = reference(resource(created, 200, 201))
    notes.url(f"{fhir.base}/{found}")
    return found
