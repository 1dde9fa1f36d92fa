"""The scope language of SMART App Launch 2.2, versions 1 and 2, and the grants it stands for.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import parse_qsl, quote

from fhir_server.access import LETTERS, Grant, Letter

Level = Literal["patient", "user", "system"]
WORDS = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "launch/imagingstudy",
    "offline_access",
    "online_access",
)
"""The scopes that are no claim on resources, as far as they are offered."""

MUST_BE_NAMED = frozenset({"AuditEvent"})
"""Types that a user's or patient's `*` does not cover: who reads the trail was given it by name."""

_CLINICAL = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]{0,63})"
    r"\.(?P<letters>read|write|\*|(?=[cruds])c?r?u?d?s?)(?:\?(?P<query>.+))?"
)
_CLAIMS_TO_BE_CLINICAL = re.compile(r"(?:patient|user|system)/")
_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
_PARAMETER = re.compile(r"_?[a-z][A-Za-z0-9-]*(?::[A-Za-z][A-Za-z-]*)?(?:\.[A-Za-z:_-]+)*")
_SHAPES_THE_ANSWER = re.compile(
    r"_(?:contained|containedType|count|cursor|elements|format|include|page|pretty|revinclude|score"
    r"|sort|summary|total)(?::.*)?"
)


class MalformedScope(ValueError):
    """A scope begins as one for resources and does not follow the grammar; carries the scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"The scope {scope} does not follow the grammar of SMART scopes")


@dataclass(frozen=True, slots=True)
class Scope:
    """A claim on resources: `patient/Observation.rs?category=…` in its parts."""

    level: Level
    type: str
    letters: frozenset[Letter]
    query: tuple[tuple[str, str], ...]
    text: str

    def covers(self, other: "Scope") -> bool:
        """Tell whether everything that the other allows is allowed by this one."""
        return (
            self.level == other.level
            and self.type in {"*", other.type}
            and self.letters >= other.letters
            and set(self.query) <= set(other.query)
        )


@dataclass(frozen=True, slots=True)
class Scopes:
    """A parsed scope parameter: the claims on resources and the words, both in the order asked for."""

    clinical: tuple[Scope, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Give the scope parameter again."""
        return " ".join([*self.words, *(scope.text for scope in self.clinical)])

    def __contains__(self, word: str) -> bool:
        return word in self.words

    def __bool__(self) -> bool:
        return bool(self.clinical or self.words)

    def at(self, level: Level) -> tuple[Scope, ...]:
        """Give the claims on resources of one level."""
        return tuple(scope for scope in self.clinical if scope.level == level)

    @property
    def needs_patient(self) -> bool:
        """Tell whether a patient must be in context, so that the scopes mean anything."""
        return any(word.startswith("launch/") for word in self.words) or bool(self.at("patient"))

    def only(self, levels: Iterable[Level], words: Iterable[str] = ()) -> "Scopes":
        """Give what is left at these levels and of these words."""
        wanted, kept = set(levels), set(words)
        return Scopes(
            tuple(scope for scope in self.clinical if scope.level in wanted),
            tuple(word for word in self.words if word in kept),
        )

    def narrowed(self, allowed: "Scopes") -> "Scopes":
        """Give the part that is allowed; a claim that is partly allowed is cut to that part."""
        clinical: dict[str, Scope] = {}
        for asked in self.clinical:
            for part in _parts(asked, allowed.clinical):
                clinical.setdefault(part.text, part)
        return Scopes(
            tuple(clinical.values()), tuple(word for word in self.words if word in allowed.words)
        )

    def within(self, granted: "Scopes") -> bool:
        """Tell whether nothing is asked for beyond what was granted (RFC 6749 §6)."""
        return set(self.words) <= set(granted.words) and all(
            any(held.covers(asked) for held in granted.clinical) for asked in self.clinical
        )


def parse(text: str) -> Scopes:
    """Read a scope parameter; words that are not offered are left out, as RFC 6749 §3.3 allows.

    Raises MalformedScope for a claim on resources that breaks the grammar, e.g. letters out of order.
    """
    clinical: dict[str, Scope] = {}
    words: dict[str, None] = {}
    for item in text.split():
        if item in WORDS:
            words[item] = None
        elif _CLAIMS_TO_BE_CLINICAL.match(item):
            clinical[item] = _scope(item)
    return Scopes(tuple(clinical.values()), tuple(words))


def grants(scopes: Scopes, patient: str | None, fhir_user: str | None) -> tuple[Grant, ...]:
    """Give what the scopes allow, for the patient in context and the user; what lacks either is nothing.

    patient/ is that patient's compartment. user/ is all for a practitioner, a Patient's own compartment
    for a Patient, and nothing for anyone else. system/ is all.
    """
    return tuple(
        grant
        for scope in scopes.clinical
        if (grant := _grant(scope, patient, fhir_user)) is not None
    )


def _grant(scope: Scope, patient: str | None, fhir_user: str | None) -> Grant | None:
    kind, _, id_ = (fhir_user or "").partition("/")
    apart = frozenset[str]() if scope.level == "system" else MUST_BE_NAMED
    match scope.level:
        case "patient":
            limit, known = patient, bool(patient)
        case "user":
            limit = id_ if kind == "Patient" else None
            known = kind in {"Practitioner", "PractitionerRole", "Patient"} and bool(id_)
        case "system":
            limit, known = None, True
    return Grant(scope.type, scope.letters, limit, scope.query, apart) if known else None


def _scope(item: str) -> Scope:
    found = _CLINICAL.fullmatch(item)
    if found is None:
        raise MalformedScope(item)
    letters, query = found["letters"], found["query"]
    if query is not None and letters in _VERSION_1:
        raise MalformedScope(item)
    meaning = frozenset(cast("Iterable[Letter]", _VERSION_1.get(letters, letters)))
    criteria = () if query is None else _criteria(item, query)
    return Scope(cast("Level", found["level"]), found["type"], meaning, criteria, item)


def _criteria(item: str, query: str) -> tuple[tuple[str, str], ...]:
    """Read the search criteria of a granular scope; only what limits the matches may stand there."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise MalformedScope(item) from None
    for name, value in pairs:
        if not value or not _PARAMETER.fullmatch(name) or _SHAPES_THE_ANSWER.fullmatch(name):
            raise MalformedScope(item)
    return tuple(pairs)


def _parts(asked: Scope, allowed: tuple[Scope, ...]) -> list[Scope]:
    """Give the parts of a claim that the allowed claims have in common with it."""
    if any(holder.covers(asked) for holder in allowed):
        return [asked]
    parts = (_common(asked, holder) for holder in allowed)
    return [part for part in parts if part is not None]


def _common(asked: Scope, holder: Scope) -> Scope | None:
    letters = asked.letters & holder.letters
    same_type = "*" in {asked.type, holder.type} or asked.type == holder.type
    if asked.level != holder.level or not letters or not same_type:
        return None
    type_ = holder.type if asked.type == "*" else asked.type
    extra = tuple(pair for pair in holder.query if pair not in asked.query)
    query = asked.query + extra
    return Scope(asked.level, type_, letters, query, _text(asked.level, type_, letters, query))


def _text(
    level: Level, type_: str, letters: frozenset[Letter], query: tuple[tuple[str, str], ...]
) -> str:
    """Write a claim in version 2's grammar."""
    suffix = "".join(letter for letter in LETTERS if letter in letters)
    criteria = "&".join(f"{name}={quote(value, safe=':/|,.-_~')}" for name, value in query)
    return f"{level}/{type_}.{suffix}" + (f"?{criteria}" if criteria else "")
