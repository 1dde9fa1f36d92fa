"""A resource made ready to be stored: checked, indexed and serialised once (FHIR R4 http.html#create)."""

from fhir_server.context import Context
from fhir_server.interactions import own_references
from fhir_server.store.port import Body, Change, Key, Method
from resources.model import Resource, serialise
from resources.outcome import Invalid, Issue, NotFound, Unprocessable

_OURS = ("versionId", "lastUpdated")
_ERRORS = frozenset({"error", "fatal"})
_MALFORMED = frozenset({"structure", "required", "value", "invalid"})


def change(context: Context, key: Key, method: Method, resource: Resource) -> Change:
    """Check, index and serialise a resource for a write under a key; raises Unprocessable.

    The id of the resource becomes the key's; the store writes versionId and lastUpdated.
    """
    resource["id"] = key.id
    resource, written = _as_stored(context, resource)
    _refuse(context, resource)
    return _indexed(context, key, method, (resource, written))


def made(context: Context, key: Key, method: Method, resource: Resource) -> Change:
    """Index and serialise a resource that was checked, its id the key's."""
    return _indexed(context, key, method, _as_stored(context, resource))


def refuse_faults(context: Context, resource: Resource) -> None:
    """Raise Unprocessable (or Invalid for a broken form) with every fault of what would be stored."""
    _refuse(context, _as_stored(context, resource)[0])


def _as_stored(context: Context, resource: Resource) -> tuple[Resource, Body]:
    """Give a resource with the references that it is stored with, and serialised; it may have faults yet.

    What is checked is what is stored, so that what is read can be put back.
    """
    written = body(resource)
    if not own_references.held(written, context.bases):
        return resource, written
    resource = own_references.relative(context.services.definitions, resource, context.bases)
    return resource, body(resource)


def _indexed(context: Context, key: Key, method: Method, stored: tuple[Resource, Body]) -> Change:
    resource, written = stored
    return Change(key, method, written, context.services.planner.parameters.values(resource))


def _refuse(context: Context, resource: Resource) -> None:
    issues = context.services.validator.check(resource)
    if any(issue.severity in _ERRORS for issue in issues):
        raise fault(issues)


def fault(issues: tuple[Issue, ...]) -> Invalid | Unprocessable:
    """Give 400 where the form is broken, 422 where a rule is; what refused it comes before warnings."""
    errors = tuple(issue for issue in issues if issue.severity in _ERRORS)
    kind = Invalid if any(issue.code in _MALFORMED for issue in errors) else Unprocessable
    rest = tuple(issue for issue in issues if issue.severity not in _ERRORS)
    return kind("The resource is not valid", issues=errors + rest)


def body(resource: Resource) -> Body:
    """Serialise a resource around the place where the store writes versionId and lastUpdated.

    A meta that is no object is left out: what has one is not valid.
    """
    rest = dict(resource)
    type_, id_, meta = rest.pop("resourceType"), rest.pop("id"), rest.pop("meta", None)
    head = b'{"resourceType":%b,"id":%b,"meta":{' % (serialise(type_), serialise(id_))
    meta = {k: v for k, v in meta.items() if k not in _OURS} if isinstance(meta, dict) else None
    after_meta = b"," + serialise(meta)[1:] if meta else b"}"
    return Body(head, after_meta + (b"," + serialise(rest)[1:] if rest else b"}"))


def of_type(context: Context, resource: Resource, type_: str) -> None:
    """Refuse a resource of another type than its URL's, or of a type that R4 does not have."""
    known_type(context, type_)
    if resource["resourceType"] != type_:
        raise Invalid(
            f"The body's resourceType is not {type_}", issue="invalid", expression="resourceType"
        )


def known_type(context: Context, type_: str) -> None:
    """Refuse a resource type that R4 does not have; raises NotFound."""
    if type_ not in context.services.definitions.resource_types:
        raise NotFound("R4 has no such resource type", issue="not-supported")
