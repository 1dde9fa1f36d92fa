"""DiagnosticReport/$sign: a radiologist makes a report final; its charge and claim come of it.

One transaction: the report becomes final with its conclusion and interpreter, a Provenance names the
signer, and ChargeItem and Claim are written. The AI's Observations stay preliminary: signing a report
judges the study, not each measure.
"""

from typing import Any

from fhir_server.context import Context
from fhir_server.interactions import reach
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.expression import And, Branch, Plan
from fhir_server.search.parse import Simple
from fhir_server.store.port import Key, Version, instant
from operations.billing import charge
from operations.operation import In, Out, operation
from resources.model import Resource, parse, serialise
from resources.outcome import Conflict, Forbidden, Invalid, NotFound

_OPEN = frozenset({"registered", "partial", "preliminary"})
_CLINICIANS = ("Practitioner/", "PractitionerRole/")


@operation(
    "sign",
    on="DiagnosticReport",
    level="instance",
    affects_state=True,
    parameters=(
        In(
            "conclusion", "string", "The signer's impression; replaces what the report says so far."
        ),
        In("practitioner", "Reference", "The signer; by default the user of the token."),
        Out("return", "DiagnosticReport", "The final report."),
    ),
)
async def sign(
    context: Context,
    report: Key,
    *,
    conclusion: str | None = None,
    practitioner: dict[str, Any] | None = None,
) -> FhirResponse:
    """Make the report final; refused with 409 where it is final already."""
    version = await reach.current(context, report, "u")
    if version is None or version.body is None:
        raise NotFound("There is no such report, or it is out of this token's reach")
    current = parse(version.body)
    if current.get("status") not in _OPEN:
        raise Conflict(
            "The report is not open: only a registered, partial or preliminary one is signed"
        )
    signer = _signer(context, practitioner)
    now = instant(context.services.clock())
    final = _final(current, conclusion, signer, now)
    read = charge.Read(
        report=final,
        order=await _linked(context, current, "basedOn"),
        study=await _linked(context, current, "imagingStudy"),
        signer=signer,
        coverage=await _coverage(context, current),
        now=now,
    )
    await _store(context, [_put(version, final), _provenance(final, signer, now)], read)
    return await dispatch(context, FhirRequest("GET", report.reference))


def _signer(context: Context, practitioner: dict[str, Any] | None) -> str:
    """Give who signs: the token's user, or whom a caller without a user of its own names."""
    user = context.access.fhir_user
    named = (practitioner or {}).get("reference")
    if user is not None:
        if named is not None and named != user:
            raise Forbidden("A user signs in their own name")
        named = user
    if not isinstance(named, str) or not named.startswith(_CLINICIANS):
        raise Invalid("A report is signed by a Practitioner or PractitionerRole", issue="required")
    return named


def _final(report: Resource, conclusion: str | None, signer: str, now: str) -> Resource:
    final = {
        **report,
        "status": "final",
        "issued": now,
        "resultsInterpreter": [{"reference": signer}],
    }
    if conclusion is not None:
        final["conclusion"] = conclusion
    final.pop("text", None)
    return final


async def _linked(context: Context, report: Resource, element: str) -> Resource | None:
    """Give the first resource that an element refers to, if the caller reaches it."""
    for reference in report.get(element, ()):
        type_, _, id_ = str(reference.get("reference", "")).partition("/")
        if id_:
            found = await reach.current(context, Key(context.tenant, type_, id_), "r")
            if found is not None and found.body is not None:
                return parse(found.body)
    return None


async def _coverage(context: Context, report: Resource) -> str | None:
    """Give the patient's first active Coverage."""
    planner = context.services.planner
    criteria = (
        Simple("beneficiary", None, (report["subject"]["reference"],)),
        Simple("status", None, ("active",)),
    )
    where = And(tuple(planner.expression("Coverage", one, context.access) for one in criteria))
    plan = Plan(context.tenant, (Branch("Coverage", where),), limit=1)
    found = await context.services.store.search(plan)
    return found[0].version.key.reference if found else None


def _put(version: Version, final: Resource) -> dict[str, Any]:
    request = {
        "method": "PUT",
        "url": version.key.reference,
        "ifMatch": f'W/"{version.version_id}"',
    }
    return {"resource": final, "request": request}


def _provenance(report: Resource, signer: str, now: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
    resource = {
        "resourceType": "Provenance",
        "target": [{"reference": f"DiagnosticReport/{report['id']}"}],
        "recorded": now,
        "activity": {"text": "Report signed"},
        "agent": [
            {
                "type": {"coding": [{"system": system, "code": "legal"}]},
                "who": {"reference": signer},
            }
        ],
    }
    return {"resource": resource, "request": {"method": "POST", "url": "Provenance"}}


async def _store(context: Context, entries: list[dict[str, Any]], read: charge.Read) -> None:
    """Write all in one transaction, with our own access for what follows from the permitted act."""
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [*entries, *charge.entries(read)],
    }
    ours = context.as_ours()
    await dispatch(ours, FhirRequest("POST", "", body=serialise(bundle)))
