"""References as text: local, absolute, urn, contained, canonical (FHIR R4 references.html)."""

import re
from collections.abc import Mapping
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


def parse(text: str, base: str = "") -> Reference:
    """Read a reference; an absolute url under `base`, this server's own, is a local one."""
    if base and text.startswith(base.rstrip("/") + "/"):
        text = text[len(base.rstrip("/")) + 1 :]
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


def relative(text: str, base: str) -> str:
    """Give a reference to a resource under `base`, this server's own, without it; any other as it is."""
    if not base or not text.startswith(f"{base}/"):
        return text
    rest = text[len(base) + 1 :]
    return rest if _LOCAL.fullmatch(rest.partition("#")[0]) else text


def _unversioned(text: str) -> str:
    return text.partition("/_history/")[0]


def canonical(text: str) -> Canonical:
    """Split a canonical into url, version and fragment (references.html#canonical)."""
    rest, _, fragment = text.partition("#")
    url, _, version = rest.partition("|")
    return Canonical(url, version, fragment)


def literal(value: Mapping[str, Any], base: str = "") -> Reference | None:
    """Read the literal part of a Reference element; None for a logical reference."""
    text = value.get("reference")
    return parse(text, base) if isinstance(text, str) else None


def identifier(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the Identifier of a Reference element, by which a logical reference points."""
    found = value.get("identifier")
    return found if isinstance(found, dict) else None
