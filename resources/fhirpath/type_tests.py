"""is, as and ofType: items by their type (FHIRPath N1 6.3, 5.2.4).

R4's own expressions apply `as` to several items, and it keeps exact primitive types: a code is a string
for `is`, but is not kept by `as(string)`.
"""

from resources.definitions import Definitions
from resources.fhirpath import item as items_of
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, SemanticFault
from resources.fhirpath.function import single
from resources.fhirpath.item import Item, truth
from resources.fhirpath.tree import Tree

_SYSTEM = frozenset(
    {
        items_of.BOOLEAN,
        items_of.STRING,
        items_of.INTEGER,
        items_of.DECIMAL,
        items_of.DATE,
        items_of.DATE_TIME,
        items_of.TIME,
        items_of.QUANTITY,
    }
)


def named(definitions: Definitions, written: str) -> tuple[str, ...]:
    """Give the types that a name means: FHIR's before those of System; raises SemanticFault for none."""
    if written.startswith("System."):
        return (written,) if written in _SYSTEM else ()
    name = written.removeprefix("FHIR.")
    found = (name,) if definitions.kind(name) is not None else ()
    if name == written and f"System.{name}" in _SYSTEM:
        found = (*found, f"System.{name}")
    if not found:
        raise SemanticFault("there is no such type")
    return found


def is_type(operand: Run, written: str) -> Run:
    """Give what tells whether a single item is of a type or specialises it."""

    def run(focus: Focus) -> list[Item]:
        item = single(operand(focus))
        names = named(focus.state.tree.definitions, written)
        if item is None:
            return []
        return truth(any(focus.state.tree.is_a(item.type, name) for name in names))

    return run


def of_type(operand: Run, written: str, *, one: bool) -> Run:
    """Give what keeps the items of a type; `one`: strictly, several items are a fault."""

    def run(focus: Focus) -> list[Item]:
        found = operand(focus)
        names = named(focus.state.tree.definitions, written)
        if one and focus.state.environment.strict and len(found) > 1:
            raise EvaluationFault("as takes one item")
        return [item for item in found if any(_kept(focus.state.tree, item, n) for n in names)]

    return run


def _kept(tree: Tree, item: Item, name: str) -> bool:
    if item.type == name:
        return True
    return tree.definitions.kind(name) != "primitive" and tree.is_a(item.type, name)
