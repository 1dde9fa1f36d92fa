"""Access tokens that an operator signs at the command line, for any server of the installation."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server import tenancy
from smart_auth import scopes
from smart_auth.access_token import AccessTokens, new_claims
from smart_auth.keys import KeyRing
from smart_auth.launch_context import ID, REFERENCE
from smart_auth.realm import realm
from smart_auth.records import now

OPERATOR = "hounsfield-operator"
_LONGEST_TTL_S = 365 * 24 * 3_600


@dataclass(frozen=True, slots=True)
class OperatorToken:
    """What an operator asks `hounsfield token` for; `ttl` in seconds, `context` relative references."""

    scope: str
    patient: str | None = None
    fhir_user: str | None = None
    context: tuple[str, ...] = ()
    tenant: str = tenancy.DEFAULT
    ttl: int = 3_600


def mint(keys: KeyRing, asked: OperatorToken, clock: Callable[[], int] = now) -> str:
    """Give an access token signed by this installation, whatever its public URL; raises ValueError.

    The sentence of the ValueError says what is missing for the scopes to mean anything.
    """
    parsed = _mintable(asked)
    claims = new_claims(
        realm("", asked.tenant),
        clock(),
        asked.ttl,
        operator=True,
        sub=OPERATOR,
        client_id=OPERATOR,
        scope=parsed.text,
        patient=asked.patient,
        fhir_user=asked.fhir_user,
        context=asked.context,
    )
    return AccessTokens(keys, clock).sign(claims)


def _mintable(asked: OperatorToken) -> scopes.Scopes:
    parsed = scopes.parse(asked.scope)
    for reference in (*asked.context, *filter(None, [asked.fhir_user])):
        if not REFERENCE.fullmatch(reference):
            raise ValueError(
                "fhir-user and context are relative references such as Practitioner/ID"
            )
    if asked.patient is not None and not ID.fullmatch(asked.patient):
        raise ValueError("patient is a logical id, without Patient/ before it")
    if not 0 < asked.ttl <= _LONGEST_TTL_S:
        raise ValueError("ttl is 1 second to 365 days")
    if not parsed.clinical:
        raise ValueError("The scope names no resources, e.g. system/*.rs")
    if len(scopes.grants(parsed, asked.patient, asked.fhir_user)) < len(parsed.clinical):
        raise ValueError(
            "patient/ scopes need a patient, user/ scopes a fhir-user that is a Practitioner,"
            " PractitionerRole or Patient"
        )
    return parsed
