"""Bindings of a profile's coded elements (FHIR R4 terminologies.html#strength)."""

from collections.abc import Mapping
from typing import Any, Protocol

from conformance.profile.item import Item
from conformance.profile.run import NOTHING, Check, Issues, Run
from resources.definitions import Element
from resources.outcome import Issue

MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_CODED = frozenset({"code", "string", "uri", "url", "canonical", "Coding", "CodeableConcept"})
_SEVERITY = {"required": "error", "extensible": "warning", "preferred": "information"}

Coding = Mapping[str, Any]


class Membership(Protocol):
    """Tells whether a code is in a value set; the terminology of the server satisfies it."""

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Give None where the value set, or the code system it draws on, is not known here."""


def binding_checks(
    element: Mapping[str, Any], known: Element | None, membership: Membership
) -> list[Check]:
    """Give the checks of an element's binding, but for what R4's own binding says already."""
    bound = element.get("binding", {})
    found = []
    value_set = _url(bound.get("valueSet"))
    strength = bound.get("strength")
    ours = known.binding if known else None
    stated = ours is not None and (ours.strength, ours.value_set) == (strength, value_set)
    if value_set and strength in _SEVERITY and not stated:
        found.append(_check(value_set, _SEVERITY[strength], membership))
    for extension in bound.get("extension", ()):
        most = _url(extension.get("valueCanonical") or extension.get("valueUri"))
        if extension.get("url") == MAX_VALUE_SET and most:
            found.append(_check(most, "error", membership))
    return found


def _url(canonical: Any) -> str | None:
    return canonical.partition("|")[0] if isinstance(canonical, str) else None


def _check(value_set: str, severity: str, membership: Membership) -> Check:
    code = "code-invalid"
    broken = (Issue(severity, code, f"The code is not in the value set {value_set}"),)
    untold = Issue(
        "warning", "not-found", f"Codes of the value set {value_set} cannot be told here"
    )

    def check(item: Item, run: Run) -> Issues:
        told = _told(item, value_set, membership, strict=severity == "error")
        if told is None:
            return run.once(untold)
        return NOTHING if told else broken

    return check


def _told(item: Item, value_set: str, membership: Membership, *, strict: bool) -> bool | None:
    """Tell whether any code of an item is in; None where that is not known. Text alone is no code."""
    value = item.value
    if isinstance(value, str):
        return membership.member(value_set, None, value)
    if not isinstance(value, dict):
        return True  # a primitive that is absent and says why
    if item.type == "CodeableConcept":
        codings = [held for held in value.get("coding", ()) if isinstance(held, dict)]
        if not codings:
            return not strict or _absent(value)
        return _any([_coding(held, value_set, membership) for held in codings])
    return _coding(value, value_set, membership)


def _absent(value: Mapping[str, Any]) -> bool:
    return "extension" in value


def _coding(coding: Coding, value_set: str, membership: Membership) -> bool | None:
    code = coding.get("code")
    if not isinstance(code, str):
        return "extension" in coding
    return membership.member(value_set, coding.get("system", ""), code)


def _any(told: list[bool | None]) -> bool | None:
    if True in told:
        return True
    return None if None in told else False
