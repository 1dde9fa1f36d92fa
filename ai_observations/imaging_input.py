"""Where a model's pixels come from: the port that an archive or a PACS client satisfies."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from resources import outcome

DICOM_UID = "urn:dicom:uid"


class ImageSource(Protocol):
    """Gives the instances of a study; `dicomweb_bridge` satisfies it."""

    def instances(self, study_uid: str, series_uid: str | None = None) -> AsyncIterator[bytes]:
        """Yield DICOM Part 10 files (PS3.10) of a study, or of one of its series, in any order."""


def study_uid(study: Mapping[str, Any]) -> str:
    """Give the Study Instance UID of an ImagingStudy; raises Unprocessable where it has none."""
    for identifier in study.get("identifier", ()):
        if identifier.get("system") == DICOM_UID and identifier.get("value"):
            return str(identifier["value"]).removeprefix("urn:oid:")
    raise outcome.Unprocessable(
        "The study has no Study Instance UID: an identifier of the system urn:dicom:uid is needed",
        issue="required",
        expression="ImagingStudy.identifier",
    )


def modalities(study: Mapping[str, Any]) -> frozenset[str]:
    """Give the DICOM modality codes that an ImagingStudy tells, of itself or of its series."""
    codings = [
        *study.get("modality", ()),
        *(s.get("modality", {}) for s in study.get("series", ())),
    ]
    return frozenset(str(coding["code"]) for coding in codings if coding.get("code"))
