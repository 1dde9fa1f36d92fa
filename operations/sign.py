"""DiagnosticReport/$sign: a radiologist makes a report final; its charge and claim come of it.

One transaction: the report becomes final with its conclusion and interpreter, a Provenance names the
signer, and ChargeItem and Claim are written. The AI's Observations stay preliminary: signing a report
judges the study, not each measure.
"""

import dataclasses
from typing import Any

from msgspec.structs import replace

from fhir_server.context import Context
from fhir_server.interactions import answer, reach
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest, FhirResponse
from fhir_server.search.expression import And, Branch, Plan
from fhir_server.search.parse import Simple
from fhir_server.store.port import Key, Version, instant
from operations.billing import charge
from operations.operation import In, Out, operation
from resources import reference
from resources.authored.provenance import PARTICIPANT
from resources.model import Resource, parse, serialise
from resources.outcome import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PreconditionFailed,
    Unprocessable,
)

_OPEN = frozenset({"registered", "partial", "preliminary"})
_CLINICIANS = frozenset({"Practitioner", "PractitionerRole"})
_GENERATED = frozenset({"generated", "extensions"})


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
    version = await reach.current(_beyond_compartments(context), report, "u")
    if version is None or version.body is None:
        raise NotFound("There is no such report, or it is out of this token's reach")
    current = parse(version.body)
    _refuse_closed(current)
    signer = _signer(context, practitioner)
    patient = _patient(context, current)
    now = instant(context.services.clock())
    final = _final(current, conclusion, signer, now)
    read = charge.Read(
        report=final,
        order=await _linked(context, final, "basedOn", "ServiceRequest"),
        study=await _linked(context, final, "imagingStudy", "ImagingStudy"),
        signer=signer,
        coverage=await _coverage(context, patient),
        now=now,
    )
    await _store(context, [_put(version, final), _provenance(final, signer, now)], read)
    signed = await context.services.store.read(report)
    if signed is None or signed.body is None:
        raise Gone("The report was signed, and deleted the moment after")
    return FhirResponse(200, signed.body, answer.validators(signed))


def _beyond_compartments(context: Context) -> Context:
    """Give the context without grants of one patient's compartment: with those nobody signs."""
    grants = tuple(grant for grant in context.access.grants if grant.patient is None)
    return replace(context, access=dataclasses.replace(context.access, grants=grants))


def _refuse_closed(report: Resource) -> None:
    if report.get("status") not in _OPEN:
        raise Conflict(
            "The report is not open: only a registered, partial or preliminary one is signed"
        )


def _signer(context: Context, practitioner: dict[str, Any] | None) -> str:
    """Give who signs: the token's user, or whom a caller without a user of its own names."""
    user, named = context.access.fhir_user, _local(context, practitioner or {})
    if user is not None:
        if practitioner is not None and named != user:
            raise Forbidden("A user signs in their own name")
        if user.partition("/")[0] not in _CLINICIANS:
            raise Forbidden("A report is signed by a Practitioner or PractitionerRole")
        return user
    if named is None or named.partition("/")[0] not in _CLINICIANS:
        raise Invalid(
            "The token has no user, so practitioner names who signs: a Practitioner or"
            " PractitionerRole of this server",
            issue="required",
        )
    return named


def _local(context: Context, element: dict[str, Any]) -> str | None:
    """Give Type/id of a Reference element that leads to a resource here, None of any other."""
    found = reference.literal(element, *context.bases)
    return f"{found.type}/{found.id}" if found and found.form == "local" else None


def _patient(context: Context, report: Resource) -> str:
    """Give the Patient that the report is about; a report on anything else is not signed here."""
    patient = _local(context, report.get("subject", {}))
    if patient is None or not patient.startswith("Patient/"):
        raise Unprocessable(
            "The report's subject is not a Patient of this server, so it is not signed",
            issue="business-rule",
            expression="DiagnosticReport.subject",
        )
    return patient


def _final(report: Resource, conclusion: str | None, signer: str, now: str) -> Resource:
    """Give the report as it is signed; narrative that software made of its old content goes."""
    if conclusion is None and not (report.get("performer") or report.get("resultsInterpreter")):
        raise Unprocessable(
            "No person has performed or interpreted the report so far: it is signed with a"
            " conclusion of its signer",
            issue="required",
            expression="DiagnosticReport.conclusion",
        )
    me = {"reference": signer}
    others = [each for each in report.get("resultsInterpreter", ()) if each != me]
    final = {**report, "status": "final", "issued": now, "resultsInterpreter": [me, *others]}
    if conclusion is not None:
        final["conclusion"] = conclusion
    if final.get("text", {}).get("status") in _GENERATED:
        del final["text"]
    return final


async def _linked(context: Context, report: Resource, element: str, type_: str) -> Resource | None:
    """Give the first resource of a type that an element refers to, if it is about the same patient."""
    patient = _patient(context, report)
    for each in report.get(element, ()):
        kind, _, id_ = (_local(context, each) or "").partition("/")
        if kind != type_:
            continue
        found = await context.services.store.read(Key(context.tenant, type_, id_))
        if found is not None and found.body is not None:
            resource = parse(found.body)
            if _local(context, resource.get("subject", {})) == patient:
                return resource
    return None


async def _coverage(context: Context, patient: str) -> str | None:
    """Give the patient's first active Coverage."""
    planner, ours = context.services.planner, context.as_ours().access
    criteria = (
        Simple("beneficiary", None, (patient,)),
        Simple("status", None, ("active",)),
    )
    where = And(tuple(planner.expression("Coverage", one, ours) for one in criteria))
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
    legal = {"system": PARTICIPANT, "code": "legal", "display": "Legal Authenticator"}
    resource = {
        "resourceType": "Provenance",
        "target": [{"reference": f"DiagnosticReport/{report['id']}"}],
        "recorded": now,
        "activity": {"text": "Report signed"},
        "agent": [{"type": {"coding": [legal]}, "who": {"reference": signer}}],
    }
    return {"resource": resource, "request": {"method": "POST", "url": "Provenance"}}


async def _store(context: Context, entries: list[dict[str, Any]], read: charge.Read) -> None:
    """Write all in one transaction, with our own access for what follows from the permitted act."""
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [*entries, *charge.entries(read)],
    }
    try:
        await dispatch(context.as_ours(), FhirRequest("POST", "", body=serialise(bundle)))
    except PreconditionFailed as refused:
        if refused.issues[0].code == "multiple-matches":
            raise  # two charges or claims have the report's identifier: somebody else wrote them
        raise Conflict(
            "The report was changed by someone else meanwhile: read it again, then sign it"
        ) from None
