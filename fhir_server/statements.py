"""What the server says of itself, each statement built once for a base (FHIR R4 http.html#capabilities)."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import operations
from conformance.canonicals import imaging
from conformance.capability_statement import Offered, capability_statement
from conformance.openapi import openapi
from conformance.operation_definition import Declared, Parameter, operation_definition
from conformance.terminology_capabilities import terminology_capabilities
from fhir_server import registry
from fhir_server.context import UNALTERED
from fhir_server.interactions import offered
from fhir_server.search import modifiers
from fhir_server.search.full_text_values import UNREAD
from fhir_server.search.modifier import Modifier
from fhir_server.settings import Settings
from operations.operation import In, Operation
from resources.definitions import Definitions, SearchParameter
from resources.model import Resource, serialise
from smart_auth import metadata

VERSION = "0.1.0"
BULK = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
SMART_GUIDE = (
    "http://hl7.org/fhir/smart-app-launch/ImplementationGuide/hl7.fhir.uv.smart-app-launch|2.2.0"
)

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
            profiles=_profiles(),
            modifiers=_modifiers(),
            instantiates=self._instantiated(),
            guides=self._guides(),
            unaltered=UNALTERED,
            unread=UNREAD,
            altering=frozenset(o.code for o in self.declared if o.alters),
        )

    def _instantiated(self) -> tuple[str, ...]:
        """Give what the operations and parameters amount to; requirements of packages are added to it."""
        codes = {operation.code for operation in self.declared}
        return (BULK,) if "export" in codes else ()

    def _guides(self) -> tuple[str, ...]:
        own = [e.url for e in imaging().manifest.entries if e.type == "ImplementationGuide"]
        return (*own, *([SMART_GUIDE] if self._smart is not None else []))

    def operation_definitions(self) -> tuple[Resource, ...]:
        """Give the OperationDefinition of each operation that is offered."""
        return tuple(
            operation_definition(_declared(one), self._definitions, VERSION)
            for one in self.declared
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


def _modifiers() -> dict[str, list[str]]:
    """Give the codes of the search modifiers by the type of parameter that takes them, sorted."""
    found: dict[str, list[str]] = {}
    for one in registry.discover(modifiers, Modifier, "fhir_server.modifiers"):
        for type_ in one.on:
            found.setdefault(type_, []).append(one.code)
    return {type_: sorted(codes) for type_, codes in sorted(found.items())}


def _profiles() -> dict[str, list[str]]:
    """Give our own profiles by the type that they constrain."""
    found: dict[str, list[str]] = {}
    for entry in imaging().manifest.entries:
        if entry.type == "StructureDefinition":
            found.setdefault(entry.constrains, []).append(entry.url)
    return found


def _declared(operation: Operation) -> Declared:
    parameters = [
        Parameter(
            name=one.name,
            use="in" if isinstance(one, In) else "out",
            type=one.type,
            documentation=one.documentation,
            min=one.min if isinstance(one, In) else 0,
            max=one.max if isinstance(one, In) else None,
        )
        for one in operation.parameters
    ]
    return Declared(
        code=operation.code,
        canonical=operation.canonical,
        types=operation.on,
        levels=operation.levels,
        affects_state=operation.affects_state,
        documentation=operation.documentation,
        parameters=parameters,
    )


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
