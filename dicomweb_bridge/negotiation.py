"""Which representation to answer with: Accept, or the accept query parameter (PS3.18 8.3.3, 8.7)."""

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from dicomweb_bridge import multipart
from resources import outcome

DICOM_JSON = "application/dicom+json"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
MULTIPART = "multipart/related"

Form = TypeVar("Form", bound=str)


class Wanted(Struct, frozen=True):
    """One acceptable form: the media type of the content, whether in multipart, its transfer syntax or ""."""

    name: str
    multipart: bool
    transfer_syntax: str
    quality: float

    def accepts(self, name: str) -> bool:
        """Tell whether a media type falls under this one, which may be a range."""
        kind, _, sub = self.name.partition("/")
        return self.name in {"*/*", "*", name} or (sub == "*" and name.startswith(f"{kind}/"))


def wanted(accept: str) -> list[Wanted]:
    """Give what a client accepts, best first; nothing stated is everything."""
    found = [_wanted(text) for text in multipart.split_list(accept)]
    ordered = sorted((w for w in found if w.quality > 0), key=lambda w: -w.quality)
    return ordered if found else [Wanted("*/*", multipart=False, transfer_syntax="", quality=1)]


def _wanted(text: str) -> Wanted:
    parsed = multipart.media_type(text)
    in_parts = parsed.name == MULTIPART
    name = parsed.parameters.get("type", "*/*").lower() if in_parts else parsed.name
    syntax = parsed.parameters.get("transfer-syntax", "")
    return Wanted(name, in_parts, syntax, _quality(parsed.parameters.get("q", "1")))


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def require_json(accept: str) -> str:
    """Give the JSON media type to answer with; raises NotAcceptable if the client takes none."""
    for one in wanted(accept):
        for name in (DICOM_JSON, "application/json"):
            if not one.multipart and one.accepts(name):
                return name
    raise outcome.NotAcceptable(f"This is given as {DICOM_JSON}")


def choose(accept: str, offered: Sequence[Form]) -> Form:
    """Give the first of the offered single media types that the client prefers; raises NotAcceptable."""
    for one in wanted(accept):
        for name in offered:
            if not one.multipart and one.accepts(name):
                return name
    raise outcome.NotAcceptable(f"This is given as {', '.join(offered)}")
