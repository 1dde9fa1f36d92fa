"""The declaration of a search modifier: what it applies to, and the nodes it lowers to."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fhir_server.search.expression import Expression
from fhir_server.search.knowledge import Knowledge, Known
from fhir_server.search.parameters import Parameter

Lower = Callable[[Parameter, str], Expression]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a modifier works with: the parameter, the raw values, one value's plain meaning, and knowledge."""

    parameter: Parameter
    values: tuple[str, ...]
    plain: Lower
    knowledge: Knowledge = field(default_factory=Known)

    def atoms(self, datatypes: frozenset[str]) -> Iterator[str]:
        """Give the names of the parameter's atoms that may have a value of one of the datatypes."""
        return self.parameter.holding(datatypes)


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier's code, the search parameter types that it applies to, and how it lowers to nodes.

    Where `datatypes` are named it applies only to parameters that have values of one of them.
    """

    code: str
    on: frozenset[str]
    lower: Callable[[Terms], Expression]
    datatypes: frozenset[str] = frozenset()

    def fits(self, parameter: Parameter) -> bool:
        """Tell whether R4 gives the modifier to the parameter."""
        if parameter.type not in self.on or not (parameter.atoms or parameter.contexts):
            return False
        held = frozenset[str]().union(*parameter.datatypes)
        return not self.datatypes or not held.isdisjoint(self.datatypes)


def modifier(
    code: str, *, on: str, datatypes: str = ""
) -> Callable[[Callable[[Terms], Expression]], Modifier]:
    """Declare a modifier on the named parameter types, of these datatypes (space-separated; none: any)."""

    def declare(lower: Callable[[Terms], Expression]) -> Modifier:
        return Modifier(code, frozenset(on.split()), lower, frozenset(datatypes.split()))

    return declare


def offered(modifiers: Iterable[Modifier], parameter: Parameter) -> tuple[str, ...]:
    """Give the modifiers that a parameter takes, as they are written; a reference's types are not named."""
    return tuple(sorted(f":{one.code}" for one in modifiers if one.fits(parameter)))
