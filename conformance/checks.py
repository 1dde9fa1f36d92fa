"""Rules on single elements that no FHIRPath says: extensions by their url, ids that differ, markup in text.

https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/element.html
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from resources.fhirpath.within import Within
from resources.outcome import Issue

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_OWN_IDS = "ElementDefinition"  # differential and snapshot have the same (sdf-16, sdf-17)
_TAG = re.compile(r"<[A-Za-z/!?]")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a validator does where R4 leaves the choice.

    `modifier_extensions`: refuse, or tell as a warning, those whose url is not `understood`. `markup`:
    refuse text that holds the tags of HTML, outside narratives and markdown.
    """

    modifier_extensions: Literal["allow", "refuse"] = "allow"
    understood: frozenset[str] = frozenset()
    markup: Literal["allow", "refuse"] = "allow"


class Visit(Within):
    """One visit of a resource: the ids of its elements so far, and how many issues may yet be told."""

    __slots__ = ("ids", "room")
    ids: set[str]
    room: dict[str, int]


class Check(Protocol):
    """A rule on the values of an element, and the severity of what breaks it."""

    @property
    def severity(self) -> str:
        """Give error or warning."""

    def broken(self, value: Any, within: Visit) -> bool:
        """Tell whether a value breaks it."""

    def issue(self, expression: str) -> Issue:
        """Give what to tell where it is broken."""


class UniqueId:
    """The id of an element is no other element's of the same resource (element.html#id)."""

    severity = "error"

    def broken(self, value: Any, within: Visit) -> bool:
        """Tell whether the id was met before."""
        if value in within.ids:
            return True
        within.ids.add(value)
        return False

    def issue(self, expression: str) -> Issue:
        """Give what to tell."""
        text = "The id of an element is not that of another element of the resource"
        return Issue("error", "duplicate", text, expression)


class AbsoluteUrl:
    """The url of an extension is absolute, but inside another extension (extensibility.html#Extension)."""

    severity = "error"

    def broken(self, value: Any, within: Visit) -> bool:
        """Tell whether the url has no scheme."""
        del within
        return _SCHEME.match(value["url"]) is None

    def issue(self, expression: str) -> Issue:
        """Give what to tell."""
        text = "The url of an extension is absolute, but that of one inside another extension"
        return Issue("error", "value", text, f"{expression}.url")


@dataclass(frozen=True, slots=True)
class UnderstoodModifier:
    """A modifier extension changes what the element means, so it has to be understood."""

    policy: Policy

    @property
    def severity(self) -> str:
        """Give error where the policy refuses it."""
        return "error" if self.policy.modifier_extensions == "refuse" else "warning"

    def broken(self, value: Any, within: Visit) -> bool:
        """Tell whether the url is none that is understood."""
        del within
        return value["url"] not in self.policy.understood

    def issue(self, expression: str) -> Issue:
        """Give what to tell."""
        text = "A modifier extension that is not understood here, so that its meaning is not heeded"
        return Issue(self.severity, "extension", text, expression)


class NoMarkup:
    """Text holds no tags of HTML, which a careless display would obey (security.html#narrative)."""

    severity = "error"

    def broken(self, value: Any, within: Visit) -> bool:
        """Tell whether the text holds what looks like a tag."""
        del within
        return _TAG.search(value) is not None

    def issue(self, expression: str) -> Issue:
        """Give what to tell."""
        text = "Text that is no narrative holds no tags of HTML"
        return Issue("error", "invalid", text, expression)


def of_element(path: str, name: str, content: str, policy: Policy) -> tuple[Check, ...]:
    """Give the checks of an element: `path` is the type or nested path that has it, `content` its type."""
    if name == "id":
        return () if path == _OWN_IDS else (UniqueId(),)
    if content == "Extension":
        return tuple(_of_extension(path, name, policy))
    if content == "string" and policy.markup == "refuse":
        return (NoMarkup(),)
    return ()


def _of_extension(path: str, name: str, policy: Policy) -> list[Check]:
    found: list[Check] = []
    if path != "Extension":
        found.append(AbsoluteUrl())
    if name == "modifierExtension":
        found.append(UnderstoodModifier(policy))
    return found
