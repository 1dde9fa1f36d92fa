"""Where a value stands while a compiled predicate looks at it: its resources, and outside help.

https://hl7.org/fhir/R4/fhirpath.html#variables
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resources.fhirpath.environment import Environment

_NOTHING = Environment()


@dataclass(frozen=True, slots=True)
class Bare:
    """A primitive that has no value: its id and extensions only."""

    extra: dict[str, Any]


class Within:
    """The resource that a value is in (%resource), and the one that this is contained in (%rootResource)."""

    __slots__ = ("environment", "resource", "root")

    def __init__(
        self,
        resource: dict[str, Any],
        root: dict[str, Any] | None = None,
        environment: Environment = _NOTHING,
    ) -> None:
        self.resource = resource
        self.root = resource if root is None else root
        self.environment = environment
