"""The SMART client library of others, unmodified, over a real socket."""

import asyncio
import copy
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fhirclient.client import FHIRClient
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from resources.outcome import Unauthorised
from smart_auth.metadata import oauth_uris
from smart_auth.routes import routes, smart_configuration
from smart_auth.smart import Ports, Smart

EXTENSION = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
CALLBACK = "http://127.0.0.1:9000/callback"


@asynccontextmanager
async def served(app, listening):
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn gives no event
            await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await task


@pytest.fixture
async def address(world, furnished):
    """The base URL of a server that tells which patient a token is about."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    documents = world.documents
    documents.held = copy.copy(furnished)
    smart = Smart(documents, world.smart.keys, url, Ports(world.smart.patients, clock=world.clock))

    async def patient(request):
        try:
            access = await smart.authorizer.access("default", request.headers)
        except Unauthorised:
            return JSONResponse({}, 401)
        id_ = request.path_params["id"]
        if id_ not in {grant.patient for grant in access.grants}:
            return JSONResponse({}, 404)
        return JSONResponse({"resourceType": "Patient", "id": id_})

    async def metadata(request):
        uris = [{"url": k, "valueUri": v} for k, v in oauth_uris(f"{url}/fhir").items()]
        return JSONResponse(
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2027-01-01",
                "kind": "instance",
                "fhirVersion": "4.0.1",
                "format": ["json"],
                "rest": [
                    {
                        "mode": "server",
                        "security": {"extension": [{"url": EXTENSION, "extension": uris}]},
                    }
                ],
            }
        )

    app = Starlette(
        routes=[
            *routes(smart),
            Route("/fhir/.well-known/smart-configuration", smart_configuration(smart)),
            Route("/fhir/metadata", metadata),
            Route("/fhir/Patient/{id}", patient),
        ]
    )
    async with served(app, listening):
        yield url


async def test_fhirclient_launches_standalone_and_reads_its_patient(world, address):
    settings = {
        "app_id": "app",
        "api_base": f"{address}/fhir",
        "redirect_uri": CALLBACK,
        "scope": "openid fhirUser launch/patient patient/*.rs",
    }
    client = FHIRClient(settings=settings)
    url = await asyncio.to_thread(lambda: client.authorize_url)
    browser = world.browser()
    browser.http = httpx.AsyncClient(base_url=address)
    async with browser.http:
        page = await browser.log_in(await browser.get(url))
        page = await browser.submit(page, nth=1, patient="bob")
        done = await browser.submit(page, decision="allow")
    await asyncio.to_thread(client.handle_callback, done.headers["location"])
    assert client.patient_id == "bob"
    patient = await asyncio.to_thread(lambda: client.patient)
    assert patient.id == "bob"
