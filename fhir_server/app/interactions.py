"""What interactions work with: planner, validator, policy, operations and claims, by the settings."""

import secrets
from dataclasses import dataclass

from ai_observations.inference import InstalledModels
from conformance import checks
from conformance.validate import Validator
from fhir_server import identifiers, registry, tenancy
from fhir_server.app.clock import now
from fhir_server.app.stores import Adapter
from fhir_server.app.work import Work
from fhir_server.context import Policy, Services
from fhir_server.interactions.profiles import TenantProfiles
from fhir_server.jobs.status import PLACE
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from fhir_server.settings import Settings
from fhir_server.statements import Statements
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Documents
from resources.definitions import Definitions

_SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What resources and searches mean: the definitions, their search parameters, what we state of them."""

    definitions: Definitions
    parameters: SearchParameters
    statements: Statements


async def services(
    settings: Settings,
    meaning: Meaning,
    store: Adapter,
    kept: OutOfLine,
    work: tuple[Work, InstalledModels],
) -> Services:
    """Give what every request of every tenant shares."""
    made, installed = work
    found = {m.code: m for m in registry.discover(modifiers, Modifier, "fhir_server.modifiers")}
    operations = {one.code: (one.route(),) for one in meaning.statements.declared}
    definitions = meaning.definitions
    return Services(
        store=kept,
        documents=store,
        definitions=definitions,
        planner=Planner(meaning.parameters, found, definitions.resource_types),
        validator=Validator(definitions, leeway(settings)),
        paging=Paging(await secret(store, "paging"), settings.cursor_minutes * 60_000),
        clock=now,
        new_id=identifiers.uuid,
        policy=policy(settings),
        operations={**operations, PLACE: (made.status.route(),)},
        defer=made.deferred.defer,
        capabilities=meaning.statements.capabilities(),
        terminology=meaning.statements.terminology(),
        models=installed,
        profiles=TenantProfiles(settings.claimed_profiles),
        wake=made.runner.wake,
        purge=kept.purge,
    )


def leeway(settings: Settings) -> checks.Policy:
    """Give what validation does where R4 leaves the choice."""
    understood = frozenset(settings.understood_modifiers)
    return checks.Policy(settings.modifier_extensions, understood)


def policy(settings: Settings) -> Policy:
    """Give the settings that change what interactions do."""
    return Policy(
        lenient=settings.unknown_parameters == "lenient",
        refuse_unresolved=settings.unresolved_references == "refuse",
        refuse_dangling=settings.delete_referenced == "refuse",
        delete_several=settings.conditional_delete == "multiple",
        page_size=settings.page_size,
        page_limit=settings.page_limit,
        include_limit=settings.include_limit,
    )


async def secret(documents: Documents, name: str) -> bytes:
    """Give a secret of the installation, made once, by whichever process comes first."""
    while True:
        found = await documents.get(tenancy.DEFAULT, _SECRETS, name)
        if found is not None:
            return found.value
        made = secrets.token_bytes(32)
        await documents.put(tenancy.DEFAULT, _SECRETS, name, made, revision=0)
