"""What a header of media ranges says of a media type, weighed by quality (RFC 9110 12.5.1)."""

from collections.abc import Sequence
from typing import NamedTuple

SHORT = {"json": "application/fhir+json", "xml": "application/fhir+xml"}
R4 = frozenset({"4.0", "4.0.1"})


class Weight(NamedTuple):
    """How much a media type is wanted: quality, how closely it is named (2, 1, 0), negative place."""

    quality: float
    specificity: int
    place: int


class Range(NamedTuple):
    """One media range of an Accept header; version is its fhirVersion, empty where it has none."""

    kind: str
    quality: float
    version: str

    def specificity(self, media_type: str) -> int:
        """Give how closely the range names a media type: 2, 1 or 0, and -1 where it does not."""
        if self.kind == media_type:
            return 2
        if self.kind == "*/*":
            return 0
        group, _, rest = self.kind.partition("/")
        return 1 if rest == "*" and media_type.startswith(f"{group}/") else -1


def weight(media_type: str, ranges: Sequence[Range]) -> Weight | None:
    """Give what the range that decides on a media type says of it; None where it is not wanted."""
    named = [
        (specificity, -place, held.quality)
        for place, held in enumerate(ranges)
        if (specificity := held.specificity(media_type)) >= 0
    ]
    if not named:
        return None
    specificity, place, quality_ = max(named)
    return Weight(quality_, specificity, place) if quality_ > 0 else None


def parsed(accept: str) -> list[Range]:
    """Parse an Accept header; ranges of other FHIR versions are left out, as nothing here is theirs."""
    found = []
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        given = {
            name.strip(): value.strip(' "')
            for name, _, value in (piece.partition("=") for piece in parameters)
        }
        version = given.get("fhirversion", "")
        kind = SHORT.get(kind, kind.replace(" ", "+"))
        if kind and (not version or version in R4):
            found.append(Range(kind, quality(given.get("q", "1")), version))
    return found


def quality(text: str) -> float:
    """Give a quality from 0 to 1; what is no number counts as 1, as if it were not there."""
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or not text.isascii():
        return 1.0
    return min(float(f"{whole or 0}.{fraction or 0}"), 1.0)
