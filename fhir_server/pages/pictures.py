"""Pictures of a study: which of its series have one, and those that documents about it carry.

A Binary is as secure as what its securityContext names (FHIR R4 binary.html): whoever may see that sees it.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.pages.reading import Reader
from resources import model
from resources.model import Resource
from resources.outcome import NotFound

WITHOUT_PICTURE = frozenset(
    {"AU", "DOC", "KO", "PR", "REG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SEG", "SR"}
)
SHOWN_TYPES = frozenset({"image/png", "image/jpeg"})
_JSON = {"accept": "application/fhir+json"}


class Attached(Struct, frozen=True):
    """An image that a document carries: the document, the attachment's number in it, its element."""

    document: Resource
    number: int
    attachment: Mapping[str, Any]


def study_uid(study: Resource) -> str:
    """Give the Study Instance UID of an ImagingStudy, empty where it names none."""
    for each in study.get("identifier", ()):
        if each.get("system") == "urn:dicom:uid":
            return str(each.get("value", "")).removeprefix("urn:oid:")
    return ""


def pictured(study: Resource) -> list[Resource]:
    """Give the series of an ImagingStudy that a picture can be made of."""
    return [
        each
        for each in study.get("series", ())
        if each.get("uid") and each.get("modality", {}).get("code") not in WITHOUT_PICTURE
    ]


def attached(document: Resource) -> Iterator[Attached]:
    """Give the images that a DocumentReference or Media carries."""
    content = document.get("content", ())
    attachments = (
        [each.get("attachment", {}) for each in content] if isinstance(content, list) else [content]
    )
    for number, attachment in enumerate(attachments):
        if attachment.get("contentType") in SHOWN_TYPES:
            yield Attached(document, number, attachment)


async def content(reader: Reader, found: Attached) -> tuple[bytes, str]:
    """Give an attached image and its media type; raises NotFound."""
    attachment = found.attachment
    data = attachment.get("data")
    if data is None:
        binary = await _binary(reader, str(attachment.get("url", "")))
        data, attachment = binary.get("data", ""), binary
    media_type = str(attachment.get("contentType"))
    if media_type not in SHOWN_TYPES:
        raise NotFound("The document has no picture")
    try:
        return base64.b64decode(data), media_type
    except (binascii.Error, ValueError):
        raise NotFound("The document's picture cannot be read") from None


async def _binary(reader: Reader, url: str) -> Resource:
    """Read a Binary that the caller may see itself, or by what its securityContext names."""
    path = reader.path({"reference": url})
    if not path.startswith("Binary/"):
        raise NotFound("The document's picture is not on this server")
    if found := await reader.seen(path):
        return found
    ours = reader.context.as_ours()
    response = await dispatch(ours, FhirRequest("GET", path, headers=_JSON))
    binary = model.parse(response.body)
    if await reader.follow(binary.get("securityContext")) is None:
        raise NotFound("There is no such picture, or it is out of reach")
    return binary
