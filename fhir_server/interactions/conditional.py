"""A conditional URL to none or one match: https://hl7.org/fhir/R4/http.html#ccreate"""

from dataclasses import replace
from urllib.parse import parse_qsl

from fhir_server.context import Context
from fhir_server.search import parse
from fhir_server.search.expression import Plan
from fhir_server.store.port import Version
from resources.outcome import Invalid, PreconditionFailed

MANY = 2


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Decode the query of a conditional header or URL, `?` and a type before it allowed."""
    return tuple(parse_qsl(text.rpartition("?")[2], keep_blank_values=True))


def plan(context: Context, type_: str, text: str) -> Plan:
    """Give the plan of a conditional query under the caller's access; raises Invalid for an empty one."""
    return plan_of(context, type_, pairs(text))


def plan_of(context: Context, type_: str, query: tuple[tuple[str, str], ...]) -> Plan:
    """Give the plan of conditional query pairs; result parameters have no place in them."""
    asked = parse.parse(query)
    if not asked.criteria or asked.controls or asked.cursor:
        raise Invalid("A conditional interaction needs search criteria and takes nothing else")
    criteria = [one.criterion for one in asked.criteria]
    return context.services.planner.plan(context.tenant, type_, criteria, context.access)


async def one(context: Context, plan_: Plan) -> Version | None:
    """Give the single match or None; raises PreconditionFailed where several match."""
    found = await context.services.store.search(replace(plan_, limit=MANY))
    if len(found) > 1:
        raise PreconditionFailed("Several resources match the condition", issue="multiple-matches")
    return found[0].version if found else None
