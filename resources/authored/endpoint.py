"""Endpoint: where a study's images are retrieved (FHIR R4 endpoint.html)."""

from resources.model import Resource

_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_DISPLAY = {"dicom-wado-rs": "DICOM WADO-RS", "dicom-qido-rs": "DICOM QIDO-RS"}


def endpoint(key: dict[str, str], address: str, connection: str = "dicom-wado-rs") -> Resource:
    """Give the Endpoint of a DICOMweb service; `key` is its Identifier, `address` its base URL."""
    return {
        "resourceType": "Endpoint",
        "identifier": [key],
        "status": "active",
        "connectionType": {
            "system": _CONNECTION,
            "code": connection,
            "display": _DISPLAY[connection],
        },
        "name": "DICOMweb",
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom", "application/dicom+json"],
        "address": address,
    }
