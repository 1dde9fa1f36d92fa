"""What each tenant's requests work with: the installation's services, with its uploaded search parameters."""

from collections.abc import Callable

from msgspec.structs import replace

from fhir_server import tenancy
from fhir_server.context import Services
from fhir_server.jobs.uploaded import Checked, Indexing, Uploaded
from fhir_server.search.plan import Planner
from fhir_server.shelf import Shelf, Shelved
from fhir_server.statements import Statements
from fhir_server.store.port import Store


class TenantServices:
    """Gives a tenant's services; made anew only when an uploaded parameter changes.

    `base` gives the FHIR base URL of a tenant.
    """

    def __init__(
        self,
        services: Services,
        uploaded: Uploaded,
        statements: Statements,
        shelf: Shelf,
        base: Callable[[str], str],
    ) -> None:
        self._base = base
        self._shelf = shelf
        self._services = services
        self._uploaded = uploaded
        self._statements = statements
        self._made: dict[str, Services] = {}
        self._shelved: dict[str, tuple[Services, Services]] = {}
        self._generation = -1

    def of(self, tenant: str) -> Services:
        """Give the services of a tenant as they are now, for our own edges: only what is stored."""
        if self._generation != self._uploaded.generation:
            self._made = {}
            self._generation = self._uploaded.generation
        made = self._made.get(tenant)
        if made is None:
            made = self._made[tenant] = self._make(tenant)
        return made

    def shelved(self, tenant: str) -> Services:
        """Give the services of a tenant's callers, who see also what the server itself defines."""
        plain = self.of(tenant)
        known = self._shelved.get(tenant)
        if known is None or known[0] is not plain:
            with_shelf = replace(plain, store=Shelved(plain.store, self._shelf))
            known = self._shelved[tenant] = (plain, with_shelf)
        return known[1]

    def over(self, tenant: str, store: Store) -> Services:
        """Give the services of a tenant's callers over another view of the store."""
        services = self.shelved(tenant)
        indexing = Indexing(store, self._uploaded, self._generation)
        return replace(services, store=Shelved(indexing, self._shelf))

    def _make(self, tenant: str) -> Services:
        services, uploaded = self._services, self._uploaded
        usable = uploaded.usable(tenant)
        return replace(
            services,
            store=Indexing(services.store, uploaded, self._generation),
            planner=Planner(
                uploaded.of(tenant),
                services.planner.modifiers,
                services.definitions.resource_types,
                bases=tenancy.bases(tenant, self._base(tenant)),
            ),
            validator=Checked(services.validator.check, uploaded, tenant),
            capabilities=self._statements.capabilities(usable) if usable else services.capabilities,
        )
