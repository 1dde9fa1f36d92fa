"""References as text: local, absolute, urn, contained, canonical (FHIR R4 references.html)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

Form = Literal["local", "absolute", "urn", "contained", "conditional", "other"]

_LOCAL = re.compile(
    r"([A-Z][A-Za-z]{2,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?", re.ASCII
)
_REST = re.compile(r"(https?://.+)/" + _LOCAL.pattern, re.ASCII)
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{2,63})\?(.+)", re.ASCII)


class Reference(Struct, frozen=True, gc=False):
    """What a reference's text says.

    `local` has type and id (and perhaps a version), as has `absolute` where its url ends so; `url`
    is the absolute url or urn without a version; `contained` has its id after #; `conditional` has
    its type and, as url, the query.
    """

    form: Form
    type: str = ""
    id: str = ""
    version: str = ""
    url: str = ""


class Canonical(Struct, frozen=True, gc=False):
    """A canonical: the url, and the version after | and fragment after #, empty where absent."""

    url: str
    version: str = ""
    fragment: str = ""


def parse(text: str, *bases: str) -> Reference:
    """Read a reference; an absolute url under one of `bases`, this server's own, is a local one."""
    text = _below(text, bases)
    if found := _LOCAL.fullmatch(text):
        return Reference("local", found[1], found[2], found[3] or "")
    if text.startswith("#"):
        return Reference("contained", id=text[1:])
    if text.startswith("urn:"):
        return Reference("urn", url=text)
    if found := _REST.fullmatch(text):
        return Reference("absolute", found[2], found[3], found[4] or "", _unversioned(text))
    if found := _CONDITIONAL.fullmatch(text):
        return Reference("conditional", found[1], url=found[2])
    return Reference("absolute" if "://" in text else "other", url=text)


def relative(text: str, *bases: str) -> str:
    """Give a reference to a resource under one of `bases`, our own, without it; any other as it is."""
    rest = _below(text, bases)
    return rest if rest is text or _LOCAL.fullmatch(rest.partition("#")[0]) else text


def _below(text: str, bases: Iterable[str]) -> str:
    """Give a text without the first of these bases that it begins with; the text itself where none does."""
    for base in bases:
        if base and text.startswith(start := f"{base.rstrip('/')}/"):
            return text[len(start) :]
    return text


def _unversioned(text: str) -> str:
    return text.partition("/_history/")[0]


def canonical(text: str) -> Canonical:
    """Split a canonical into url, version and fragment (references.html#canonical)."""
    rest, _, fragment = text.partition("#")
    url, _, version = rest.partition("|")
    return Canonical(url, version, fragment)


def literal(value: Mapping[str, Any], *bases: str) -> Reference | None:
    """Read the literal part of a Reference element; None for a logical reference."""
    text = value.get("reference")
    return parse(text, *bases) if isinstance(text, str) else None


def identifier(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the Identifier of a Reference element, by which a logical reference points."""
    found = value.get("identifier")
    return found if isinstance(found, dict) else None
