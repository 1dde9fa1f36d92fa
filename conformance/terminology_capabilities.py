"""The TerminologyCapabilities, from the operations that are offered (R4 terminologycapabilities.html)."""

from collections.abc import Collection
from typing import Any

from resources.model import Resource


def terminology_capabilities(
    operations: Collection[str], *, base: str, version: str, date: str
) -> Resource:
    """Tell what the server at `base` does with terminologies, by the codes of the operations it has.

    An operation that is missing has no element here, so a server without any says nothing but its name.
    """
    statement: dict[str, Any] = {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Hounsfield", "version": version},
        "implementation": {
            "description": "Hounsfield, FHIR-first imaging interoperability",
            "url": base,
        },
    }
    if "expand" in operations:
        statement["expansion"] = {"hierarchical": False, "paging": False, "incomplete": False}
    if "validate-code" in operations:
        statement["validateCode"] = {"translations": False}
    if "translate" in operations:
        statement["translation"] = {"needsMap": True}
    if "closure" in operations:
        statement["closure"] = {"translation": False}
    return statement
