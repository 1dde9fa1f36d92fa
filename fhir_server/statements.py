"""What the server says of itself, each statement built once for a base (FHIR R4 http.html#capabilities)."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import operations
from conformance.capability_statement import Offered, capability_statement
from conformance.openapi import openapi
from conformance.terminology_capabilities import terminology_capabilities
from fhir_server import registry
from fhir_server.interactions import offered
from fhir_server.settings import Settings
from operations.operation import Operation
from resources.definitions import Definitions, SearchParameter
from resources.model import Resource, serialise
from smart_auth import metadata

VERSION = "0.1.0"

Smart = Callable[[str], Mapping[str, str]]
"""Gives the addresses of the authorisation server by the FHIR base."""
Given = Callable[[str], bytes]
"""Gives a statement by the FHIR base."""


class Statements:
    """Builds the statements of one installation; `smart` is None where no token is needed."""

    def __init__(
        self,
        definitions: Definitions,
        settings: Settings,
        declared: Sequence[Operation],
        smart: Smart | None,
    ) -> None:
        self._definitions = definitions
        self._settings = settings
        self.declared = declared
        self._smart = smart

    def offered(self, base: str, custom: Sequence[SearchParameter] = ()) -> Offered:
        """Give what is offered, `custom` search parameters included, as plain values."""
        settings = self._settings
        return Offered(
            type_interactions=offered.TYPE_INTERACTIONS,
            system_interactions=offered.SYSTEM_INTERACTIONS,
            conditionals=offered.CONDITIONALS | {"conditionalDelete": settings.conditional_delete},
            parameter_types=offered.PARAMETER_TYPES,
            operations=[(o.code, o.canonical, o.on, o.levels) for o in self.declared],
            lenient=settings.unknown_parameters == "lenient",
            smart=None if self._smart is None else self._smart(base),
            custom=tuple(custom),
            patch_formats=offered.PATCH_FORMATS,
        )

    def capabilities(self, custom: Sequence[SearchParameter] = ()) -> Given:
        """Give what answers /metadata where these custom search parameters can be used."""

        def built(base: str) -> Resource:
            return capability_statement(
                self._definitions,
                self.offered(base, custom),
                base=base,
                version=VERSION,
                date=_today(),
            )

        return _kept(built)

    def openapi(self, base: str) -> dict[str, Any]:
        """Give the OpenAPI document of the REST API at a base."""
        offers = self.offered(base)
        return openapi(
            self._definitions, offers, base=base, version=VERSION, title="Hounsfield FHIR R4 API"
        )

    def terminology(self) -> Given:
        """Give what answers /metadata?mode=terminology."""
        codes = frozenset(operation.code for operation in self.declared)
        return _kept(
            lambda base: terminology_capabilities(codes, base=base, version=VERSION, date=_today())
        )


def declared_statements(settings: Settings, definitions: Definitions) -> Statements:
    """Give the statements of all that is declared, with the operations that are found."""
    declared = list(registry.discover(operations, Operation, "fhir_server.operations"))
    smart = metadata.oauth_uris if settings.auth == "smart" else None
    return Statements(definitions, settings, declared, smart)


def _kept(build: Callable[[str], Resource]) -> Given:
    """Build each statement when it is first asked for."""
    built: dict[str, bytes] = {}

    def given(base: str) -> bytes:
        if base not in built:
            built[base] = serialise(build(base))
        return built[base]

    return given


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
