"""The declaration of a $operation and the binding of its parameters (FHIR R4 operations.html)."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.context import Context, Route
from fhir_server.interactions import answer
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.store.port import Key
from resources.model import Resource, received, serialise
from resources.outcome import Invalid, NotSupported

_RENDERING = frozenset({"_format", "_pretty"})
_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
CANONICAL_BASE = "https://hounsfield.example/fhir"


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
    name without a leading underscore; it gives a resource or a whole response. What `alters` the instance
    that it is called on is not offered on types that are never altered.
    """

    code: str
    on: frozenset[str]
    levels: frozenset[str]
    parameters: tuple[In | Out, ...]
    affects_state: bool
    run: Run
    documentation: str
    alters: bool = False

    @property
    def canonical(self) -> str:
        """Give the canonical URL of the operation's definition."""
        return f"{CANONICAL_BASE}/OperationDefinition/{self.code}"

    def route(self) -> Route:
        """Give the operation as dispatch sees it."""
        return Route(self.code, self.levels, self.on, self.affects_state, self.answer, self.alters)

    async def answer(self, context: Context, request: FhirRequest) -> FhirResponse:
        """Bind the parameters, run, and give a resource as 200."""
        given = self._bound(context, request)
        answered = await self.run(context, _place(context, request), **given)
        if isinstance(answered, FhirResponse):
            return answered
        return FhirResponse(200, serialise(answered))

    def _bound(self, context: Context, request: FhirRequest) -> dict[str, Any]:
        inputs = {p.name: p for p in self.parameters if isinstance(p, In)}
        raw = _given(request, [p.name for p in inputs.values() if p.type == "Resource"])
        unknown = sorted(raw.keys() - inputs.keys())
        if unknown and not answer.lenient(context, request):
            named = unknown[0] if _NAME.fullmatch(unknown[0]) else "of this name"
            raise NotSupported(f"${self.code} takes no parameter {named}")
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
    alters: bool = False,
) -> Callable[[Run], Operation]:
    """Declare an operation on types and levels (space-separated)."""

    def declare(run: Run) -> Operation:
        """Make the declaration; the docstring of what runs is the operation's description."""
        return Operation(
            code,
            frozenset(on.split()),
            frozenset(level.split()),
            tuple(parameters),
            affects_state,
            run,
            run.__doc__ or "",
            alters,
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


def _given(request: FhirRequest, resources: Sequence[str]) -> Mapping[str, list[Any]]:
    """Collect parameters: text of the query, and (name, value) of the Parameters resource of a POST.

    Where one parameter is a resource, that may be the body itself (operations.html#request).
    """
    found: dict[str, list[Any]] = {}
    for name, value in request.query:
        if name not in _RENDERING:
            found.setdefault(name, []).append(value)
    if not request.body:
        return found
    body = received(request.body)
    if body["resourceType"] != "Parameters":
        if len(resources) != 1:
            raise Invalid("An operation takes a Parameters resource")
        found.setdefault(resources[0], []).append(("resource", body))
        return found
    elements = body.get("parameter", [])
    if not isinstance(elements, list):
        raise Invalid("Parameters.parameter is a list", expression="Parameters.parameter")
    for element in elements:
        if not isinstance(element, dict) or not isinstance(element.get("name"), str):
            raise Invalid("Each parameter has a name", expression="Parameters.parameter")
        found.setdefault(element["name"], []).append(_value(element))
    return found


def _value(element: Mapping[str, Any]) -> tuple[str, Any]:
    """Give the one value of a parameter with the name that it stands under: value[x] or resource."""
    values = [
        (name, value)
        for name, value in element.items()
        if name == "resource" or name.startswith("value")
    ]
    if len(values) != 1 or "part" in element:
        raise Invalid(
            "Each parameter has one value or a resource", expression="Parameters.parameter"
        )
    return values[0]


def _typed(parameter: In, values: list[Any]) -> Any:
    if parameter.max is not None and len(values) > parameter.max:
        raise Invalid(f"{parameter.name} is given more than {parameter.max} time(s)")
    typed = tuple(_one(parameter, value) for value in values)
    return typed[0] if parameter.max == 1 else typed


def _one(parameter: In, given: str | tuple[str, Any]) -> Any:
    """Read one value by its FHIR type; raises Invalid."""
    type_ = parameter.type
    if isinstance(given, str):
        value = _of_text(type_, given)
    else:
        stands, value = given
        wanted = "resource" if type_ == "Resource" else f"value{type_[0].upper()}{type_[1:]}"
        if stands != wanted:
            raise Invalid(f"{parameter.name} is given as {wanted}", issue="value")
    if not _fits(type_, value):
        raise Invalid(f"{parameter.name} is of type {type_}", issue="value")
    return value


def _of_text(type_: str, text: str) -> Any:
    """Read the text of a query by FHIR type; None where it is none."""
    match type_:
        case "boolean":
            return _BOOLEANS.get(text)
        case "integer" | "positiveInt":
            return int(text) if _INTEGER.fullmatch(text) else None
        case "Reference":
            return {"reference": text}
        case "instant":  # its plus sign arrives as a space where a client did not escape it
            return text.replace(" ", "+")
        case _:
            return text


def _fits(type_: str, value: Any) -> bool:
    match type_:
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "positiveInt":
            whole = isinstance(value, int) and not isinstance(value, bool)
            least = 1 if type_ == "positiveInt" else -(2**31)
            return whole and least <= value < 2**31
        case "Reference" | "Resource":
            return isinstance(value, dict)
        case "instant":
            return isinstance(value, str) and bool(_INSTANT.fullmatch(value))
        case _:
            return isinstance(value, str) and bool(value.strip())
