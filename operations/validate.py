"""Resource/$validate: https://hl7.org/fhir/R4/resource-operation-validate.html"""

from typing import Final

from conformance.profile import whole
from conformance.profile.supported import absent
from fhir_server.access import Letter
from fhir_server.context import Context
from fhir_server.interactions import reach, referential
from fhir_server.search.values import no_values
from fhir_server.store.port import Change, Key
from operations.operation import In, Out, operation
from resources.model import Resource, parse
from resources.outcome import FhirError, Invalid, Issue, NotFound, NotSupported, operation_outcome

_MODES: Final = frozenset({"create", "update", "delete", "profile"})
_LETTERS: Final[dict[str, Letter]] = {"update": "u", "delete": "d"}
_SHOWN = 25
_RIGHT = Issue("information", "informational", "No issue was found")


@operation(
    "validate",
    level="type instance",
    parameters=(
        In("resource", "Resource", "What to validate; at an instance, by default what is stored."),
        In("mode", "code", "create, update, delete or profile: what is planned with it."),
        In("profile", "canonical", "A profile to validate against, besides those that it claims."),
        Out(
            "return",
            "OperationOutcome",
            "The issues. A write is refused for errors, but not for those of codes and extensions.",
        ),
    ),
)
async def validate(
    context: Context,
    place: Key | str,
    *,
    resource: Resource | None = None,
    mode: str = "",
    profile: str = "",
) -> Resource:
    """Tell what is wrong with a resource: by R4, by the profiles that it claims, and by one that is named.

    Always answered with 200 and an OperationOutcome, unless the request itself is wrong.
    """
    if mode and mode not in _MODES:
        raise NotSupported(f"mode is one of {', '.join(sorted(_MODES))}")
    if isinstance(place, str):
        return await _of_type(context, place, resource, (mode, profile))
    return await _of_instance(context, place, resource, (mode, profile))


async def _of_type(
    context: Context, type_: str, resource: Resource | None, asked: tuple[str, str]
) -> Resource:
    mode, profile = asked
    if mode in {"delete", "update"}:
        raise Invalid(f"mode={mode} is for an instance")
    if resource is None:
        raise Invalid("$validate of a type needs a resource", issue="required")
    context.require(type_, "c" if mode == "create" else "r")
    return await _outcome(context, resource, type_, profile)


async def _of_instance(
    context: Context, key: Key, resource: Resource | None, asked: tuple[str, str]
) -> Resource:
    mode, profile = asked
    if mode == "create":
        raise Invalid("mode=create is for a type: an instance is there already")
    letter = _LETTERS.get(mode, "r")
    existing = await reach.current(context, key, letter)
    if mode == "delete":
        return await _deletion(context, key, exists=existing is not None)
    stored = existing.body if existing is not None else None
    if resource is None:
        if stored is None:
            raise NotFound("There is no such resource, or it is out of this token's reach")
        resource = parse(stored)
    elif mode == "profile" and not profile:
        raise Invalid("mode=profile names a profile", issue="required")
    more = []
    if resource.get("id") != key.id and mode == "update":
        text = "The resource's id is not that of the instance"
        more.append(Issue("error", "invalid", text, f"{key.type}.id"))
    return await _outcome(context, resource, key.type, profile, *more)


async def _deletion(context: Context, key: Key, *, exists: bool) -> Resource:
    """Tell whether a delete would be refused."""
    if not exists:
        return operation_outcome((Issue("error", "not-found", "There is no such resource"),))
    try:
        await referential.refuse(context, (Change(key, "DELETE", None, no_values()),))
    except FhirError as refused:
        return operation_outcome(refused.issues)
    return operation_outcome((Issue("information", "informational", "It can be deleted"),))


async def _outcome(
    context: Context, resource: Resource, type_: str, profile: str, *more: Issue
) -> Resource:
    if resource.get("resourceType") != type_:
        text = f"The resource is no {type_}, as the URL says"
        return operation_outcome((Issue("error", "invalid", text, "resourceType"),))
    port, check = context.services.profiles, context.services.validator.check
    if port is None:
        return operation_outcome((*more, *check(resource)) or (_RIGHT,))
    checks = await port.checks(context, whole.drawn_on(resource, profile))
    issues = (*more, *whole.issues(resource, check, checks, profile))
    missing = absent(resource, checks.must_support(profile)) if profile else ()
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (" …" if len(missing) > _SHOWN else "")
        issues += (Issue("information", "informational", f"mustSupport, not there: {shown}"),)
    return operation_outcome(issues or (_RIGHT,))
