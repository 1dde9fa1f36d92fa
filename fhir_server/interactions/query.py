"""What a search asks, lowered to a plan over one type or several (FHIR R4 search.html, http.html#search)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server import percent
from fhir_server.context import Context
from fhir_server.interactions import answer
from fhir_server.interactions.knowing import knowing
from fhir_server.interactions.mark import Mark, hashed, mark, query_of
from fhir_server.interactions.part import Part, part
from fhir_server.interactions.shaping import shape
from fhir_server.interactions.writing import known_type
from fhir_server.message import FhirRequest
from fhir_server.search import fulltext, limits, parse
from fhir_server.search.expression import Branch, Expression, Plan, both
from fhir_server.search.full_text_values import UNREAD
from fhir_server.search.parse import Criterion, Inclusion
from fhir_server.search.unknown import Ignore, UnknownParameter
from resources.outcome import Forbidden, Invalid, Issue, NotFound, UnsupportedMediaType

_FORM = "application/x-www-form-urlencoded"
_ALL = "*"


@dataclass(frozen=True, slots=True)
class Within:
    """A compartment that limits a search (Patient/1/Observation)."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search is made: a type, or `None` for all of them, in a compartment or not."""

    type: str | None = None
    within: Within | None = None

    @property
    def path(self) -> str:
        """Give the path below the base: Patient, Patient/1/Observation, Patient/1/*, or nothing."""
        type_ = self.type or (_ALL if self.within else "")
        return f"{self.within.type}/{self.within.id}/{type_}" if self.within else type_


@dataclass(slots=True)
class Asked:
    """What is really used of a query: the plan, and warnings of what lenient handling left out.

    `mark` is what the cursor says of the page; `hidden` if no URL but that of `self` is to tell the search,
    which is then `kept` under a name if it is long.
    """

    place: Place
    query: parse.Query
    plan: Plan
    part: Part
    used: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[Issue] = field(default_factory=list)
    inclusions: Sequence[Inclusion] = ()
    mark: Mark | None = None
    hidden: bool = False
    kept: str = ""


async def asked(context: Context, request: FhirRequest, place: Place) -> Asked:
    """Lower a request's query; raises what says why it cannot be answered."""
    pairs, begun = await _begun(context, place, _pairs(request))
    query = parse.parse(pairs)
    every = _types(context, place, query)
    types = _read(every, place, query)
    context = await knowing(context, types, [one.criterion for one in query.criteria])
    lenient = answer.lenient(context, request)
    warnings = [
        Issue("warning", "not-supported", f"{type_} resources are not found by words: not searched")
        for type_ in every
        if type_ not in types
    ]

    def ignore(unknown: UnknownParameter) -> None:
        if not lenient:
            raise unknown
        warnings.append(Issue("warning", "not-supported", f"Ignored: {unknown}"))

    limits.bounded(query.values * len(types), limits.MOST_MEANINGS, "values, counted for each type")
    if query.values > limits.AT_ONCE:
        used, wheres = await asyncio.to_thread(_wheres, context, types, place, query, ignore)
    else:
        used, wheres = _wheres(context, types, place, query, ignore)
    shaped = shape(context, types, query, ignore)
    plan = Plan(context.tenant, tuple(map(Branch, types, wheres)), shaped.sort)
    wanted = part(context, query.controls, ignore, types, beyond=bool(shaped.inclusions))
    used += [*wanted.used(shaped.used), *dict.fromkeys(p for p in pairs if p[0] in parse.RENDERING)]
    if begun is not None and begun.search and begun.search != hashed(used):
        raise Invalid("The page's cursor is of another search", issue="value")
    hidden = request.method == "POST" or bool(begun and not begun.search)
    return Asked(place, query, plan, wanted, used, warnings, shaped.inclusions, begun, hidden)


async def _begun(
    context: Context, place: Place, pairs: Sequence[tuple[str, str]]
) -> tuple[Sequence[tuple[str, str]], Mark | None]:
    """Read the cursor, if there is one, and give the pairs of the search, which some cursors hold."""
    tokens = [value for name, value in pairs if name == parse.CURSOR]
    if not tokens:
        return pairs, None
    if len(tokens) > 1:
        raise Invalid("A page has one cursor", issue="value")
    begun = mark(context, place.path, tokens[0])
    held = await query_of(context, begun)
    if not held:
        return pairs, begun
    kept = [pair for pair in pairs if pair[0] in {*parse.RENDERING, parse.CURSOR}]
    return [*held, *kept], begun


def _wheres(
    context: Context, types: Sequence[str], place: Place, query: parse.Query, ignore: Ignore
) -> tuple[list[tuple[str, str]], list[Expression]]:
    """Lower the criteria; gives those that are used, and what each type's resources must satisfy."""
    criteria: list[Sequence[Expression]] = []
    used = []
    for one in query.criteria:
        if (one.name, place.type) != ("_type", None):
            try:
                criteria.append(_lowered(context, types, one.criterion))
            except UnknownParameter as unknown:
                ignore(unknown)
                continue
        used.append((one.name, one.value))
    return used, [
        _where(context, type_, [by_type[i] for by_type in criteria], place.within)
        for i, type_ in enumerate(types)
    ]


def _types(context: Context, place: Place, query: parse.Query) -> tuple[str, ...]:
    """Give the types to search: those asked for that the caller may search; raises Forbidden for none."""
    if place.type is not None:
        known_type(context, place.type)
        context.require(place.type, "s")
        return (place.type,)
    named = [
        type_ for one in query.criteria if one.name == "_type" for type_ in one.value.split(",")
    ]
    for type_ in named:
        known_type(context, type_)
    wanted = sorted(set(named or _searchable(context, place)))
    allowed = tuple(type_ for type_ in wanted if context.access.grants_for(type_, "s"))
    if not allowed or (named and len(allowed) < len(wanted)):
        raise Forbidden("The token's scopes do not cover a search over these types")
    return allowed


def _read(types: tuple[str, ...], place: Place, query: parse.Query) -> tuple[str, ...]:
    """Leave out of a search by words in every type those that are not found by them."""
    if place.type is not None:
        return types
    names = {one.name.partition(":")[0] for one in query.criteria}
    if "_type" in names or names.isdisjoint(fulltext.PARAMETERS):
        return types
    return tuple(type_ for type_ in types if type_ not in UNREAD) or types


def _searchable(context: Context, place: Place) -> Sequence[str]:
    """Give the types of a compartment, or every type."""
    if place.within is None:
        return tuple(context.services.definitions.resource_types)
    return (place.within.type, *_compartment(context, place.within))


def _compartment(context: Context, within: Within) -> Sequence[str]:
    members = context.services.definitions.compartments.get(within.type)
    if members is None:
        raise NotFound("This type has no compartment", issue="not-supported")
    return tuple(members)


def _lowered(context: Context, types: Sequence[str], criterion: Criterion) -> Sequence[Expression]:
    """Lower a criterion in each of the types; one that lacks the parameter makes it unknown."""
    planner = context.services.planner
    return [planner.expression(type_, criterion, context.access) for type_ in types]


def _where(
    context: Context, type_: str, criteria: Sequence[Expression], within: Within | None
) -> Expression:
    planner = context.services.planner
    parts = [*criteria, planner.allowed(type_, context.access, "s")]
    if within is not None:
        _compartment(context, within)
        parts.append(planner.compartment(within.type, within.id, type_))
    return both(parts)


def _pairs(request: FhirRequest) -> tuple[tuple[str, str], ...]:
    """Give the query of the URL, and of the body for _search by POST."""
    if request.method != "POST":
        return request.query
    kind = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
    if kind != _FORM:
        raise UnsupportedMediaType(f"_search takes {_FORM}", accept=_FORM)
    try:
        form = percent.pairs(request.body.decode())
    except ValueError:
        raise Invalid("The form is not percent-encoded UTF-8") from None
    return (*request.query, *form)
