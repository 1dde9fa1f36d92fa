"""Scopes in plain words, for the person who is asked (SMART App Launch 2.2 §3)."""

from dataclasses import dataclass

from fhir_server.access import LETTERS, Letter
from smart_auth.scopes import Scope, Scopes

_VERBS: dict[Letter, str] = {
    "c": "add",
    "r": "see",
    "u": "change",
    "d": "delete",
    "s": "search",
}
_WORDS = {
    "openid": "Know who you are on this server",
    "fhirUser": "Know which person you are in the record",
    "launch": "Know the patient and the images that you have open",
    "launch/patient": "Know which patient was chosen",
    "launch/encounter": "Know which visit was chosen",
    "launch/imagingstudy": "Know which imaging study was chosen",
    "offline_access": "Keep this access for up to 90 days, also when you are not here",
    "online_access": "Keep this access as long as you are logged in",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of the consent page: the scope and what it means."""

    scope: str
    meaning: str


def lines(asked: Scopes) -> tuple[Asked, ...]:
    """Give what is asked for, resources first."""
    return tuple(
        [Asked(scope.text, _meaning(scope)) for scope in asked.clinical]
        + [Asked(word, _WORDS[word]) for word in asked.words]
    )


def agreed(asked: Scopes, ticked: frozenset[str]) -> Scopes:
    """Give what is left of the scopes once the person has unticked some."""
    return Scopes(
        tuple(scope for scope in asked.clinical if scope.text in ticked),
        tuple(word for word in asked.words if word in ticked),
    )


def _meaning(scope: Scope) -> str:
    verbs = [_VERBS[letter] for letter in LETTERS if letter in scope.letters]
    doing = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    what = "everything" if scope.type == "*" else f"{_spaced(scope.type)} records"
    whose = "in the chosen patient's record" if scope.level == "patient" else "that you may use"
    only = " and ".join(f"{name} is {value}" for name, value in scope.query)
    return f"{doing.capitalize()} {what} {whose}" + (f", only where {only}" if only else "")


def _spaced(type_: str) -> str:
    """Give a type's name as words: ImagingStudy → imaging study."""
    words = "".join(f" {c}" if c.isupper() else c for c in type_)
    return words.strip().lower()
