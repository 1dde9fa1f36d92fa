"""The terminology port: what a value set holds, what a code means and subsumes (R4 terminology-service.html).

`Terminology` is pure and synchronous. What a tenant stores is brought in beforehand: give
`fhir_server.interactions.terminology.known(context, value_sets=…, systems=…)` the canonicals that will be
asked for, and it gives a Terminology that holds them, and all that they draw on, beside R4's own
(`conformance.terminology.held.terminology()`).

A canonical is `url` or `url|version`; without a version the newest that is held. `ValueSet/id` names a value
set that the tenant stores. Nothing unknown is ever taken for empty: it raises, and names what is not known.
"""

from typing import Literal, Protocol

from msgspec import Struct

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.value_set import ValueSet
from resources.outcome import FhirError, NotFound

Subsumption = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]


class UnknownValueSet(NotFound):
    """The value set is not held: 400, naming its canonical."""

    status = 400

    def __init__(self, canonical: str) -> None:
        super().__init__(f"The value set {canonical} is not known here")
        self.canonical = canonical


class UnknownCodeSystem(NotFound):
    """The code system's content is not held, so what was asked cannot be told: 400, naming its canonical."""

    status = 400

    def __init__(self, canonical: str) -> None:
        super().__init__(f"The content of the code system {canonical} is not known here")
        self.canonical = canonical


class UnknownCode(FhirError):
    """The code system is held and has no such code: 400, naming the system only."""

    status = 400
    issue = "code-invalid"


class Concept(Struct, frozen=True, gc=False):
    """A code of a system with its display, which is empty where it has none."""

    system: str
    code: str
    display: str = ""


class Expansion(Struct, frozen=True):
    """All codes of a value set, each once, in the order of its definition; abstract ones are left out."""

    url: str
    version: str
    concepts: tuple[Concept, ...]


class Validation(Struct, frozen=True):
    """Whether a code is in a value set: True, False, or None where that cannot be told.

    `display` is the right display where one is known; `reason` says why it is not in, or cannot be told. It
    names canonicals and never repeats the code.
    """

    result: bool | None
    reason: str = ""
    display: str = ""


class Source(Protocol):
    """Where code systems and value sets come from, compiled; None for what is not held."""

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Give the code system of a url, of the version or else the newest."""

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Give the value set of a url or `ValueSet/id`, of the version or else the newest."""


class Terminology(Protocol):
    """What can be asked of code systems and value sets."""

    def expand(self, canonical: str, *, limit: int = ...) -> Expansion:
        """Give all codes of a value set.

        Raises UnknownValueSet, UnknownCodeSystem for one that it draws on, TooCostly over `limit` codes,
        NotSupported for a filter that cannot be evaluated, Invalid for one that includes itself.
        """

    def validate_code(
        self, canonical: str, system: str | None, code: str, display: str = ""
    ) -> Validation:
        """Tell whether a code is in a value set, without expanding it where that can be avoided.

        `system` None (an element of type code) accepts the code of any system of the value set; empty is a
        Coding without one, which is never in. A `display` that is none of the concept's gives False. Raises
        UnknownValueSet; what draws on a code system that is not held gives None.
        """

    def lookup(self, system: str, code: str) -> Concept | None:
        """Give a concept, None where the system has no such code; raises UnknownCodeSystem."""

    def subsumes(self, system: str, a: str, b: str) -> Subsumption:
        """Tell how code `a` relates to code `b` (codesystem.html#subsumption).

        Raises UnknownCodeSystem, and UnknownCode where the system lacks one of the codes.
        """

    def below(self, system: str, code: str) -> tuple[str, ...]:
        """Give a code and all that it subsumes; raises UnknownCodeSystem or UnknownCode."""

    def above(self, system: str, code: str) -> tuple[str, ...]:
        """Give a code and all that subsume it; raises UnknownCodeSystem or UnknownCode."""
