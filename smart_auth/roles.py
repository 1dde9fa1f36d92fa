"""Roles of people: named sets of grants, read from a file, that limit what their tokens may do."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from fhir_server.access import LETTERS, Access, Clearance, Grant, Letter
from fhir_server.store.port import Documents
from resources.outcome import Forbidden
from smart_auth.records import Records
from smart_auth.scopes import MUST_BE_NAMED
from smart_auth.users import Subject

BREAK_GLASS = "x-break-glass"
"""The header that gives the reason for breaking the glass."""
_LONGEST_REASON = 500
_KNOWN = frozenset({"grants", "patients", "clearance", "glass"})
_CLEARANCES = frozenset({"N", "R", "V"})
Criteria = tuple[tuple[str, str], ...]


class RolesError(ValueError):
    """The file of roles is not one; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Role:
    """What people in a role may do at most; `{user}` in criteria stands for the person."""

    name: str
    grants: tuple[Grant, ...]
    patients: Criteria = ()
    clearance: Clearance = "N"
    glass: bool = False

    def limit(self, access: Access) -> Access:
        """Give an access within the role."""
        user = access.fhir_user or ""
        grants = tuple(
            replace(g, query=_filled(g.query, user), whose=_filled(self.patients, user))
            for g in self.grants
        )
        return replace(access, within=grants, clearance=self.clearance)

    def opened(self, access: Access, reason: str) -> Access:
        """Give an access within the role with the glass broken: any patient, whatever is withheld.

        Raises Forbidden where the role may not, or without a reason.
        """
        if not self.glass:
            raise Forbidden("This role may not break the glass")
        if len(reason.split()) < 2 or len(reason) > _LONGEST_REASON or not reason.isprintable():
            raise Forbidden("Breaking the glass needs a reason of at least two words")
        return replace(access, within=self.grants, clearance="V", withheld=(), purpose=reason)


NOBODY = Role("nobody", ())
"""The role of an account whose role the file does not have: it may do nothing."""


class Roles:
    """Gives people's roles; those of accounts without one are not limited beyond their scopes."""

    def __init__(self, documents: Documents, known: Mapping[str, Role]) -> None:
        self._subjects = Records(documents, "smart.subjects", Subject)
        self._known = known

    async def of(self, tenant: str, sub: str) -> Role | None:
        """Give the role of who has a `sub`, None for one without a role or no person's."""
        found = await self._subjects.get(tenant, sub)
        if found is None or not found.value.role:
            return None
        return self._known.get(found.value.role, NOBODY)

    async def limited(self, tenant: str, access: Access, reason: str | None = None) -> Access:
        """Give an access within its role; with a reason, with the glass broken. Raises Forbidden."""
        role = await self.of(tenant, access.subject)
        if reason is None:
            return role.limit(access) if role else access
        if role is None:
            raise Forbidden("Breaking the glass is for people in a role that may")
        return role.opened(access, reason)


def load(path: Path | None = None) -> Mapping[str, Role]:
    """Give the roles of a file, without one those that come along; raises RolesError."""
    if path is None:
        return _own()
    try:
        return _read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise RolesError(f"{path} cannot be read: {type(fault).__name__}") from None


@cache
def _own() -> Mapping[str, Role]:
    return _read((files("smart_auth") / "data" / "roles.toml").read_text(encoding="utf-8"))


def _read(text: str) -> Mapping[str, Role]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise RolesError(f"The file of roles is not TOML: {fault}") from None
    return {name: _role(name, held) for name, held in content.items()}


def _role(name: str, held: Any) -> Role:
    if not isinstance(held, dict) or set(held) - _KNOWN:
        raise RolesError(f"The role {name} has {', '.join(sorted(_KNOWN))} and nothing else")
    clearance = held.get("clearance", "N")
    if clearance not in _CLEARANCES:
        raise RolesError(f"The clearance of {name} is N, R or V")
    grants = tuple(_grant(name, text) for text in held.get("grants", []))
    patients = _criteria(held.get("patients", ""))
    glass = held.get("glass", False) is True
    return Role(name, grants, patients, cast("Clearance", clearance), glass)


def _grant(name: str, text: str) -> Grant:
    place, _, query = text.partition("?")
    type_, _, letters = place.partition(".")
    if not type_ or not letters or set(letters) - set(LETTERS):
        raise RolesError(f"A grant of {name} is not written Type.letters: {place}")
    meaning = frozenset(cast("tuple[Letter, ...]", tuple(letters)))
    return Grant(type_, meaning, None, _criteria(query), MUST_BE_NAMED)


def _criteria(text: str) -> Criteria:
    return tuple(parse_qsl(text, keep_blank_values=True))


def _filled(criteria: Criteria, user: str) -> Criteria:
    """Put the person into criteria; one that is nobody matches nothing."""
    return tuple((name, value.replace("{user}", user or "-/-")) for name, value in criteria)
