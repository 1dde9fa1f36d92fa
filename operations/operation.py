"""The declaration of a $operation and the binding of its parameters (FHIR R4 operations.html)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.context import Context, Route
from fhir_server.interactions import answer
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Key
from resources.model import Resource, parse, serialise
from resources.outcome import Invalid, NotSupported

_RENDERING = frozenset({"_format", "_pretty"})
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class In:
    """One input parameter: name, FHIR type, how many; `documentation` in a sentence."""

    name: str
    type: str
    documentation: str
    min: int = 0
    max: int | None = 1


@dataclass(frozen=True, slots=True)
class Out:
    """One output parameter."""

    name: str
    type: str
    documentation: str


Answer = Resource | FhirResponse
Run = Callable[..., Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One $operation: code, the types it is on, levels, parameters, and what runs.

    `run` gets the context, the key of the instance (at instance level) or the type, and the parameters by
    name without a leading underscore; it gives a resource or a whole response.
    """

    code: str
    on: frozenset[str]
    levels: frozenset[str]
    parameters: tuple[In | Out, ...]
    affects_state: bool
    run: Run
    documentation: str

    @property
    def canonical(self) -> str:
        """Give the canonical URL of the operation's definition."""
        return f"https://hounsfield.example/fhir/OperationDefinition/{self.code}"

    def route(self) -> Route:
        """Give the operation as dispatch sees it."""
        return Route(self.code, self.levels, self.on, self.affects_state, self.answer)

    async def answer(self, context: Context, request: FhirRequest) -> FhirResponse:
        """Bind the parameters, run, and give a resource as 200."""
        given = self._bound(context, request)
        answered = await self.run(context, _place(context, request), **given)
        if isinstance(answered, FhirResponse):
            return answered
        return FhirResponse(200, serialise(answered))

    def _bound(self, context: Context, request: FhirRequest) -> dict[str, Any]:
        raw = _given(request)
        inputs = {p.name: p for p in self.parameters if isinstance(p, In)}
        unknown = sorted(raw.keys() - inputs.keys())
        if unknown and not answer.lenient(context, request):
            raise NotSupported(f"${self.code} takes no parameter {unknown[0]}")
        return {
            name.lstrip("_"): _typed(parameter, raw[name])
            for name, parameter in inputs.items()
            if name in raw or _missing(self.code, parameter)
        }


def operation(
    code: str,
    *,
    on: str = "",
    level: str,
    parameters: Sequence[In | Out] = (),
    affects_state: bool = False,
) -> Callable[[Run], Operation]:
    """Declare an operation on types and levels (space-separated)."""

    def declare(run: Run) -> Operation:
        return Operation(
            code,
            frozenset(on.split()),
            frozenset(level.split()),
            tuple(parameters),
            affects_state,
            run,
            run.__doc__ or "",
        )

    return declare


def _missing(code: str, parameter: In) -> bool:
    if parameter.min:
        raise Invalid(f"${code} needs the parameter {parameter.name}", issue="required")
    return False


def _place(context: Context, request: FhirRequest) -> Key | str | None:
    """Give the key of the instance, the type, or None at system level."""
    match request.path.strip("/").split("/")[:-1]:
        case [type_, id_]:
            return Key(context.tenant, type_, id_)
        case [type_]:
            return type_
        case _:
            return None


def _given(request: FhirRequest) -> Mapping[str, list[Any]]:
    """Collect parameters from the query and, for POST, from the Parameters resource of the body."""
    found: dict[str, list[Any]] = {}
    for name, value in request.query:
        if name not in _RENDERING:
            found.setdefault(name, []).append(value)
    if not request.body:
        return found
    body = parse(request.body)
    if body["resourceType"] != "Parameters":
        raise Invalid("An operation takes a Parameters resource")
    for element in body.get("parameter", []):
        if not isinstance(element, dict) or not isinstance(element.get("name"), str):
            raise Invalid("Each parameter has a name", expression="Parameters.parameter")
        found.setdefault(element["name"], []).append(_value(element))
    return found


def _value(element: Mapping[str, Any]) -> Any:
    if "resource" in element:
        return element["resource"]
    values = [value for name, value in element.items() if name.startswith("value")]
    if len(values) != 1:
        raise Invalid(
            "Each parameter has one value or a resource", expression="Parameters.parameter"
        )
    return values[0]


def _typed(parameter: In, values: list[Any]) -> Any:
    if parameter.max is not None and len(values) > parameter.max:
        raise Invalid(f"{parameter.name} is given more than {parameter.max} time(s)")
    typed = tuple(_one(parameter, value) for value in values)
    return typed[0] if parameter.max == 1 else typed


def _one(parameter: In, value: Any) -> Any:
    """Read one value by its FHIR type; raises Invalid."""
    if parameter.type == "boolean" and isinstance(value, str):
        value = _BOOLEANS.get(value)
    if parameter.type in {"integer", "positiveInt"} and isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() else None
    if parameter.type == "Reference" and isinstance(value, str):
        value = {"reference": value}
    if value is None or not isinstance(value, _PYTHON.get(parameter.type, (str,))):
        raise Invalid(f"{parameter.name} is of type {parameter.type}", issue="value")
    return value


_PYTHON: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "positiveInt": (int,),
    "Reference": (dict,),
    "Resource": (dict,),
}
