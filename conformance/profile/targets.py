"""What a profile lets references lead to: targetProfile (FHIR R4 references.html)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.profile.item import Item, of_resource
from conformance.profile.run import NOTHING, Check, Issues, Run, failed
from conformance.profile.snapshot import CORE
from resources import reference as references
from resources.definitions import Definitions, Element
from resources.outcome import Issue

TypeOf = Callable[[str], str | None]
"""Gives the type that a canonical's StructureDefinition constrains, None where it is not known."""
Conforms = Callable[[Item, str, Run], Issues]
"""Gives what is wrong with a resource by a profile's canonical."""


def target_checks(
    definitions: Definitions,
    types: Sequence[Mapping[str, Any]],
    known: Element | None,
    ports: tuple[TypeOf, Conforms],
) -> list[Check]:
    """Give the check of targetProfile, where it says more than R4 does."""
    urls = [
        url.partition("|")[0]
        for held in types
        if held.get("code") == "Reference"
        for url in held.get("targetProfile", ())
    ]
    type_of, conforms = ports
    by_type: dict[str, list[str]] = {}
    for url in urls:
        type_ = type_of(url)
        if type_ is None:
            return []
        by_type.setdefault(type_, []).append(url)
    stated = frozenset(t for held in (known.types if known else ()) for t in held.targets)
    is_new = any(not url.startswith(CORE) for url in urls) or by_type.keys() != stated
    if not urls or "Resource" in by_type or not is_new:
        return []
    return [_check(definitions, by_type, conforms)]


def _check(
    definitions: Definitions, by_type: Mapping[str, Sequence[str]], conforms: Conforms
) -> Check:
    names = ", ".join(sorted(by_type))
    wrong = (Issue("error", "structure", f"The reference is to lead to {names}"),)
    other = "The reference leads to a resource that fits none of the profiles allowed: "

    def check(item: Item, run: Run) -> Issues:
        """Give an issue where a reference leads to a wrong type, or to a resource that fits no profile."""
        text = item.holder.get("reference")
        found = run.resolve(text) if isinstance(text, str) else None
        if found is not None:
            target = of_resource(found)
            urls = by_type.get(target.type)
            if urls is None:
                return wrong
            if all(failed(conforms(target, url, run)) for url in urls):
                return (Issue("error", "structure", other + ", ".join(urls)),)
            return NOTHING
        type_ = references.parse(text).type if isinstance(text, str) else ""
        type_ = type_ or item.holder.get("type", "")
        is_known = isinstance(type_, str) and type_ in definitions.resource_types
        return wrong if is_known and type_ not in by_type else NOTHING

    return check
