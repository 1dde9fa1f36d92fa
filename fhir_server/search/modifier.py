"""The declaration of a search modifier: what it applies to, and the nodes it lowers to."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.search.expression import Expression
from fhir_server.search.parameters import Parameter

Lower = Callable[[Parameter, str], Expression]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a modifier has to work with: the parameter, the raw values, and the plain meaning of one value."""

    parameter: Parameter
    values: tuple[str, ...]
    plain: Lower


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier's code, the search parameter types that it applies to, and how it lowers to nodes."""

    code: str
    on: frozenset[str]
    lower: Callable[[Terms], Expression]


def modifier(code: str, *, on: str) -> Callable[[Callable[[Terms], Expression]], Modifier]:
    """Declare a modifier on the named parameter types (space-separated)."""

    def declare(lower: Callable[[Terms], Expression]) -> Modifier:
        return Modifier(code, frozenset(on.split()), lower)

    return declare
