"""DocumentReference for pictures that a model made of a study (FHIR R4 documentreference.html)."""

import base64
from typing import Any

from msgspec import Struct

from resources.authored.study_context import StudyContext
from resources.model import Resource


class Picture(Struct, frozen=True):
    """One PNG with what it shows."""

    title: str
    png: bytes


def pictures(
    identifier: dict[str, Any],
    shown: list[Picture],
    context: StudyContext,
    device: str,
    now: str,
) -> Resource:
    """Give the DocumentReference of a result's pictures: preliminary, by the model's Device."""
    return {
        "resourceType": "DocumentReference",
        "identifier": [identifier],
        "status": "current",
        "docStatus": "preliminary",
        "type": {"text": "Pictures of an imaging model's result"},
        "subject": context.subject,
        "date": now,
        "author": [{"reference": device}],
        "description": "Made by software and not reviewed by a person.",
        "content": [{"attachment": _attachment(picture)} for picture in shown],
        "context": {"related": [context.study, *context.based_on]},
    }


def _attachment(picture: Picture) -> dict[str, Any]:
    return {
        "contentType": "image/png",
        "data": base64.b64encode(picture.png).decode(),
        "size": len(picture.png),
        "title": picture.title,
    }
