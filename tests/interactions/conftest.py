"""A door over each store: every interaction test runs on the memory reference, SQLite and MongoDB."""

import itertools
import json
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest
from bodies import transaction
from msgspec.structs import replace

from conformance.validate import Validator
from fhir_server import registry, tenancy
from fhir_server.access import Access, everything
from fhir_server.context import Context, Policy, Services
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite.store import SqliteStore
from resources import definitions
from resources.outcome import FhirError

BASE = "http://test.example/fhir"
DEFINITIONS = definitions.load()
PARAMETERS = SearchParameters(DEFINITIONS)
VALIDATOR = Validator(DEFINITIONS)


@dataclass
class Door:
    """Calls the interactions as an edge does."""

    context: Context

    async def call(self, method, url, body=None, **headers) -> FhirResponse:
        path, _, query = url.partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return await dispatch(self.context, FhirRequest(method, path, pairs, sent, raw))
        except FhirError as error:
            return answer.failed(error)

    async def give(self, method, url, body=None, **headers):
        """Call and give the parsed body, which must be a success."""
        response = await self.call(method, url, body, **headers)
        assert response.status < 300, response.body
        return json.loads(response.body) if response.body else None

    async def ids(self, url):
        """Give the ids that a search matches, in order."""
        bundle = await self.give("GET", url)
        return [
            e["resource"]["id"] for e in bundle.get("entry", []) if e["search"]["mode"] == "match"
        ]

    async def holding(self, resources):
        """Store resources in one transaction, and give the door to them."""
        await self.give("POST", "", transaction(*resources))
        return self

    async def found(self, url):
        """Give the ids that a search gives, sorted; where it is refused, the sentence that says why."""
        response = await self.call("GET", url)
        body = json.loads(response.body)
        if response.status != 200:
            return [body["issue"][0]["diagnostics"]]
        return sorted(entry["resource"]["id"] for entry in body.get("entry", ()))

    async def astray(self, cases):
        """Give the searches that do not find the ids that are wanted, with what they find."""
        return [
            (url, wanted, found)
            for url, wanted in cases
            if (found := await self.found(f"{url}&_count=100")) != sorted(wanted.split())
        ]

    async def not_refused(self, cases):
        """Give the searches that are not refused with 400 by a sentence that holds what is to be told."""
        wrong = []
        for url, told in cases:
            response = await self.call("GET", url)
            said = json.loads(response.body).get("issue", [{}])[0].get("diagnostics", "")
            if response.status != 400 or told not in said:
                wrong.append((url[:100], response.status, said))
        return wrong

    def as_(self, access: Access) -> "Door":
        return Door(replace(self.context, access=access))

    def with_policy(self, **policy) -> "Door":
        services = replace(self.context.services, policy=Policy(**policy))
        return Door(replace(self.context, services=services))


def clinical(type_):
    atom = PARAMETERS.clinical(type_)
    return atom.name if atom else None


@pytest.fixture(params=["memory", "sqlite", "mongo"])
async def door(request, tmp_path):
    ticks = itertools.count(1_700_000_000_000)
    clock = lambda: next(ticks)  # noqa: E731
    if request.param == "memory":
        store = MemoryStore(clock=clock, clinical=clinical)
    elif request.param == "mongo":
        url = request.getfixturevalue("mongo_database").emptied()
        store = MongoStore(url, clock=clock, clinical=clinical)
    else:
        store = SqliteStore(tmp_path / "store.sqlite", clock=clock, clinical=clinical)
    await store.open()
    found = registry.discover(modifiers, Modifier, "fhir_server.modifiers")
    ids = itertools.count(1)
    services = Services(
        store=store,
        documents=store,
        definitions=DEFINITIONS,
        planner=Planner(
            PARAMETERS,
            {m.code: m for m in found},
            DEFINITIONS.resource_types,
            bases=tenancy.bases("default", BASE),
        ),
        validator=VALIDATOR,
        paging=Paging(b"secret"),
        clock=clock,
        new_id=lambda: f"id-{next(ids)}",
    )
    yield Door(Context("default", everything("test"), BASE, services))
    await store.close()
