"""References to resources here that are written with a base of our own, as relative ones.

A relative reference means the same (FHIR R4 references.html#literal), is found by searches and compartments,
and stays right when the server is reached by another name. In a Bundle references follow its full URLs, so
what is stored as one is left as it is, and so is one within another resource.
"""

from collections.abc import Sequence

from fhir_server.interactions.linking import references
from fhir_server.store.port import Body
from resources import model, reference
from resources.definitions import Definitions
from resources.model import Resource


def held(written: Body, bases: Sequence[str]) -> bool:
    """Tell whether a serialised resource may hold such references; cheap, as nearly none does."""
    tail = written.tail
    return any(base.encode() in tail for base in bases) and not written.head.startswith(
        b'{"resourceType":"Bundle"'
    )


def relative(definitions: Definitions, resource: Resource, bases: Sequence[str]) -> Resource:
    """Give a copy of a resource whose references below one of `bases` are relative."""
    made: Resource = model.copy(resource)
    for element in references(definitions, made):
        element["reference"] = reference.relative(element["reference"], *bases)
    return made
