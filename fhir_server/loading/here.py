"""The way straight into the store of a data folder, and what that store is called."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fhir_server import app, identifiers, tenancy
from fhir_server.context import Context
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.loading.door import Door
from fhir_server.loading.preparing import Preparing, processes_for
from fhir_server.loading.straight import Straight
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings
from fhir_server.store.port import Documents
from resources.model import Resource, parse, serialise
from resources.outcome import FhirError

_NAMESPACE: Final = "loading"
_STORE: Final = "store"


@asynccontextmanager
async def here(settings: Settings, size: int) -> AsyncIterator[tuple[Straight, str]]:
    """Give the way into the store of the settings, for so many bytes, and the store's name."""
    async with app.installation(settings, "http://localhost") as house:
        spare_the_collector()
        context = house.ours(tenancy.DEFAULT, "load")
        name = await name_of(house.services.documents)
        with Preparing(context, processes_for(size)) as preparing:
            yield Straight(context, preparing, door(context)), name


async def name_of(documents: Documents) -> str:
    """Give the name of a store, kept in itself: another one in its place has another name."""
    place = (tenancy.DEFAULT, _NAMESPACE, _STORE)
    while (found := await documents.get(*place)) is None:
        await documents.put(*place, identifiers.hexadecimal().encode(), revision=0)
    return found.value.decode()


def door(context: Context) -> Door:
    """Give the door of the installation itself, the same as everyone's."""

    async def send(bundle: Resource) -> tuple[int, Resource]:
        try:
            response = await dispatch(context, FhirRequest("POST", "", body=serialise(bundle)))
        except FhirError as refused:
            response = answer.failed(refused)
        return response.status, parse(response.body)

    return Door(send)


def spare_the_collector() -> None:
    """Have what lives as long as the process not looked at again, and what a group makes not so often."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
