"""The pages over a store, as a browser meets them, with two patients' stories to tell."""

import itertools
import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx
import imaging_story
from starlette.applications import Starlette

from conformance.validate import Validator
from fhir_server import registry
from fhir_server.access import Access, Grant, everything
from fhir_server.context import Context, Services
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.pages import routes
from fhir_server.pages.ports import Ports
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from resources import definitions, model

ORIGIN = "http://pages.example"
DEFINITIONS = definitions.load()
PARAMETERS = SearchParameters(DEFINITIONS)
VALIDATOR = Validator(DEFINITIONS)
SCRIPT = "<script>alert(1)</script>"
RS = frozenset({"r", "s"})


def said(element):
    """What an element says, spaces made one."""
    return " ".join(" ".join(element.itertext()).split())


def limited_to(patient):
    """The access of a person who may see one patient's record."""
    grants = (Grant("*", RS, patient=patient),)
    return Access(patient, grants, fhir_user=f"Patient/{patient}", patient=patient)


@dataclass
class World:
    """The pages, the store behind them, who is logged in, what the archive was asked for."""

    context: Context
    app: Starlette
    http: httpx.AsyncClient
    access: list[Access | None]
    rendered: list[tuple[str, str, int]] = field(default_factory=list)

    def log_in(self, access: Access | None) -> None:
        self.access[0] = access

    async def give(self, method, path, body=None):
        raw = model.serialise(body) if body else b""
        response = await dispatch(self.context, FhirRequest(method, path, body=raw))
        return json.loads(response.body) if response.body else None

    async def put(self, resource):
        return await self.give("PUT", f"{resource['resourceType']}/{resource['id']}", resource)

    async def only(self, path):
        """The one match of a search."""
        type_, _, query = path.partition("?")
        pairs = tuple(tuple(part.split("=", 1)) for part in query.split("&") if part)
        response = await dispatch(self.context, FhirRequest("GET", type_, pairs))
        (entry,) = json.loads(response.body)["entry"]
        return entry["resource"]


MODELS = (
    SimpleNamespace(
        model_id="ct-lung-measures",
        version="1.0.0",
        title="Lung measures on chest CT",
        installed=True,
        reason="",
    ),
    SimpleNamespace(
        model_id="brain-volume",
        version="1.0.0",
        title="Brain volume on T1 MR",
        installed=False,
        reason="The weights model.pt are not installed. `make install` fetches them.",
    ),
)


def furnished(store, clock):
    """What the composition root would build over a store."""
    found = registry.discover(modifiers, Modifier, "fhir_server.modifiers")
    ids = itertools.count(1)
    return Services(
        store=store,
        documents=store,
        definitions=DEFINITIONS,
        planner=Planner(
            PARAMETERS,
            {m.code: m for m in found},
            DEFINITIONS.resource_types,
            bases=(f"{ORIGIN}/fhir",),
        ),
        validator=VALIDATOR,
        paging=Paging(b"secret"),
        clock=clock,
        new_id=lambda: f"id-{next(ids)}",
    )


def make_world(store, clock, **more):
    services = furnished(store, clock)
    current = [everything("test")]
    rendered = []

    def context_for(access):
        return Context("default", access, f"{ORIGIN}/fhir", services)

    async def session(headers):
        return current[0]

    async def health():
        return {"store": "ok", "archive": "ok", "mllp": "ok", "dimse": "off", "jobs": "ok"}

    async def render(access, study, series, side):
        rendered.append((study, series, side))
        return None if series.endswith(".404") else imaging_story.png(side)

    ports = Ports(context_for, session, health, lambda: MODELS, render, **more)
    app = Starlette(routes=routes.routes(ports))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN)
    return World(context_for(everything("test")), app, http, current, rendered)


async def tell(world):
    """Write the stories: Ann's from order to claim, Bo's up to the study, a script in his name."""
    await world.put(imaging_story.practitioner())
    for id_, family in (("ann", "Meridian"), ("bo", SCRIPT)):
        await world.put(imaging_story.patient(id_, family))
    await world.put(imaging_story.order("o1", "Patient/ann"))
    await world.put(imaging_story.order("o2", "Patient/bo", text="MR brain"))
    await world.put(imaging_story.study("s1", "Patient/ann", based_on="o1"))
    await world.put(
        imaging_story.study(
            "s2", "Patient/bo", modality="MR", uid="1.2.840.2", description="MR BRAIN T1"
        )
    )
    await _results(world)
    await _signed(world)


async def _results(world):
    study = imaging_story.study("s1", "Patient/ann", based_on="o1")
    values = {"lung-volume": 5312.4, "lung-volume-left": 2480.0, "lung-volume-right": 2832.4}
    await world.give("POST", "", imaging_story.results(study, "ct-lung-measures", values))
    values = {"iq-slices": 3, "iq-evenly-spaced": False}
    bundle = imaging_story.results(
        study, "iq-classical", values, absent=("iq-snr",), abnormal=("iq-evenly-spaced",)
    )
    await world.give("POST", "", bundle)
    other = imaging_story.study("s2", "Patient/bo", uid="1.2.840.2")
    values = {"brain-volume": 1432.0}
    overlay = imaging_story.png(shade=200)
    bundle = imaging_story.results(other, "brain-volume", values, overlay=overlay)
    await world.give("POST", "", bundle)
    device = await world.only("Device?device-name=Lung measures on chest CT")
    for resource in imaging_story.drawing("draw", "Patient/ann", "s1", f"Device/{device['id']}"):
        await world.put(resource)


async def _signed(world):
    lungs = await world.only("Observation?code=lung-volume")
    report = await world.only(f"DiagnosticReport?result=Observation/{lungs['id']}")
    study = imaging_story.study("s1", "Patient/ann", based_on="o1")
    order = imaging_story.order("o1", "Patient/ann")
    await world.give("POST", "", imaging_story.signed(report, order, study))


def clinical(type_):
    atom = PARAMETERS.clinical(type_)
    return atom.name if atom else None
