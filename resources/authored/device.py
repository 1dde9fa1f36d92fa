"""Device: one version of a piece of image analysis software (FHIR R4 device.html)."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from resources.model import Resource


class Software(Struct, frozen=True, kw_only=True):
    """What a Device says of software; `digests` is SHA-256 in hexadecimal by component."""

    identifier: dict[str, str]
    name: str
    model_number: str
    version: str
    digests: Mapping[str, str]
    component_system: str
    types: Sequence[dict[str, str]] = ()
    notes: Sequence[str] = ()


def software(about: Software) -> Resource:
    """Give the Device of one version: what decides its results are version components.

    `Device.version.value` is then the SHA-256 of what `component` names: source or a file of weights.
    """
    components = [
        {
            "type": {"text": "SHA-256"},
            "component": {"system": about.component_system, "value": component},
            "value": digest,
        }
        for component, digest in about.digests.items()
    ]
    kind: dict[str, Any] = {"text": "Image analysis software"}
    if about.types:
        kind["coding"] = list(about.types)
    return {
        "resourceType": "Device",
        "identifier": [about.identifier],
        "status": "active",
        "deviceName": [{"name": about.name, "type": "model-name"}],
        "modelNumber": about.model_number,
        "type": kind,
        "version": [{"type": {"text": "Software version"}, "value": about.version}, *components],
        **({"note": [{"text": text} for text in about.notes]} if about.notes else {}),
    }
