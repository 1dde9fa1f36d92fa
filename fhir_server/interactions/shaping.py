"""What shapes a result beside its criteria: rules of _sort, inclusions, _count, and what is used of them."""

from collections.abc import Sequence

from msgspec import Struct

from fhir_server.context import Context
from fhir_server.interactions import include
from fhir_server.search.expression import Sort
from fhir_server.search.parse import Inclusion, Query, SortRule
from fhir_server.search.unknown import Ignore, UnknownParameter
from resources.outcome import Invalid


class Shape(Struct, frozen=True):
    """What is really used: sort keys, inclusions, and the pairs that ask for all of it."""

    sort: tuple[Sort, ...]
    inclusions: tuple[Inclusion, ...]
    used: tuple[tuple[str, str], ...]


_NOTHING = Shape((), (), ())


def shape(context: Context, types: Sequence[str], query: Query, ignore: Ignore) -> Shape:
    """Resolve what shapes the result of a search over types; raises Invalid or NotSupported."""
    if not query.controls:
        return _NOTHING
    rules, keys = [], []
    for rule in query.sort:
        try:
            keys.append(_key(context, types, rule))
            rules.append(rule)
        except UnknownParameter as unknown:
            ignore(unknown)
    kept = []
    for inclusion in query.inclusions:
        try:
            include.check(context, inclusion)
            kept.append(inclusion)
        except UnknownParameter as unknown:
            ignore(unknown)
    if kept and query.summary == "text":
        raise Invalid("_include and _revinclude are not asked for together with _summary=text")
    return Shape(tuple(keys), tuple(kept), tuple(_used(context, query, rules, kept)))


def _key(context: Context, types: Sequence[str], rule: SortRule) -> Sort:
    """Resolve a rule over all types: those that do not have its parameter come last."""
    found: list[Sort] = []
    fault = None
    for type_ in types:
        try:
            found += context.services.planner.sort(type_, [rule], context.access)
        except UnknownParameter as unknown:
            fault = unknown
    if fault is not None and not found:
        raise fault
    first = found[0]
    if any((key.by, key.kind) != (first.by, first.kind) for key in found):
        raise Invalid("_sort names a parameter that these types have as different kinds")
    atoms = tuple(dict.fromkeys(atom for key in found for atom in key.atoms))
    through = tuple(dict.fromkeys(step for key in found for step in key.through))
    return Sort(first.by, first.kind, atoms, first.descending, through)


def _used(
    context: Context, query: Query, rules: Sequence[SortRule], kept: Sequence[Inclusion]
) -> list[tuple[str, str]]:
    """Give the pairs that are used: _sort with the rules that are, _count as it is granted."""
    limit = context.services.policy.page_limit
    included = [inclusion.text for inclusion in kept]
    used: list[tuple[str, str]] = []
    for name, value in query.controls:
        if name == "_sort":
            if rules and not any(known == "_sort" for known, _ in used):
                used.append((name, ",".join(rule.text for rule in rules)))
        elif name == "_count":
            used.append((name, str(min(int(value), limit))))
        elif not name.startswith(("_include", "_revinclude")) or (name, value) in included:
            used.append((name, value))
    return used
