"""Stories that tests write: an order, its study, what software found, its report, charge and claim.

The order and the study are written by hand; results and charge come from the server's own builders, so
that pages are tested with what it really writes.
"""

import struct
import zlib

from msgspec import structs

from ai_observations import registry
from ai_observations.observation import results_bundle
from ai_observations.result import Measure, Result
from operations.billing import charge

NOW = "2026-03-04T10:20:30.000Z"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def png(side=64, shade=128):
    """A grey square as a PNG file."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes((shade + x) % 256 for x in range(side)) for _ in range(side))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def number(code, value, system="urn:oid:1.2.3"):
    """An identifier of a kind of table 0203."""
    coding = {"system": V2_0203, "code": code}
    return {
        "type": {"coding": [coding]},
        "system": system,
        "value": value,
        "assigner": {"display": "North Clinic"},
    }


def patient(id_, family="Meridian", given="Ann"):
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [number("MR", f"MRN-{id_}")],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "gender": "female",
        "birthDate": "1961-07-02",
    }


def practitioner(id_="d1"):
    return {
        "resourceType": "Practitioner",
        "id": id_,
        "name": [{"family": "Okafor", "given": ["Ada"], "prefix": ["Dr"]}],
    }


def order(id_, subject, text="CT chest without contrast"):
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "identifier": [
            number("PLAC", f"P-{id_}"),
            number("FILL", f"F-{id_}"),
            number("ACSN", f"A-{id_}"),
        ],
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "24627-2", "display": text}],
            "text": text,
        },
        "subject": {"reference": subject},
        "authoredOn": "2026-03-04T08:15:00+01:00",
        "requester": {"reference": "Practitioner/d1"},
        "reasonCode": [{"text": "Dyspnoea on exertion"}],
    }


def study(id_, subject, *, modality="CT", based_on=None, uid="1.2.840.1", description="CT CHEST"):
    dicom = "http://dicom.nema.org/resources/ontology/DCM"
    instances = [
        {
            "uid": f"{uid}.1.{n}",
            "sopClass": {"code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"},
            "number": n,
        }
        for n in range(1, 4)
    ]
    found = {
        "resourceType": "ImagingStudy",
        "id": id_,
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"},
            number("ACSN", f"A-{based_on or id_}"),
        ],
        "status": "available",
        "modality": [{"system": dicom, "code": modality}],
        "subject": {"reference": subject},
        "started": "2026-03-04T09:41:07+01:00",
        "numberOfSeries": 1,
        "numberOfInstances": 3,
        "description": description,
        "series": [
            {
                "uid": f"{uid}.1",
                "number": 1,
                "modality": {"system": dicom, "code": modality},
                "description": "LUNG 1.0",
                "numberOfInstances": 3,
                "instance": instances,
            }
        ],
    }
    return found | ({"basedOn": [{"reference": f"ServiceRequest/{based_on}"}]} if based_on else {})


def results(study_, model_id, values, *, absent=(), abnormal=(), overlay=None):
    """The transaction of a model's result on a study: values by output key."""
    model = registry.find(model_id)
    measures = [Measure(k, v, abnormal=True if k in abnormal else None) for k, v in values.items()]
    measures += [Measure(key, absent="unknown") for key in absent]
    uid = study_["identifier"][0]["value"].removeprefix("urn:oid:")
    result = Result(
        model.id, model.version, uid, f"{uid}.1", "c0ffee" * 10 + "cafe", 3, tuple(measures)
    )
    result = structs.replace(result, overlay=overlay)
    return results_bundle(study_, result, model, now=NOW)


def signed(report, order_, study_, signer="Practitioner/d1", conclusion="No acute finding."):
    """The transaction that makes a report final and writes its charge and claim."""
    final = {
        **report,
        "status": "final",
        "issued": NOW,
        "conclusion": conclusion,
        "resultsInterpreter": [{"reference": signer}],
    }
    put = {"method": "PUT", "url": f"DiagnosticReport/{report['id']}"}
    entries = charge.entries(charge.Read(final, order_, study_, signer, None, NOW))
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": final, "request": put}, *entries],
    }


def drawing(id_, subject, study_id, device=None):
    """A picture of a result: a Binary secured by its document, and the DocumentReference."""
    import base64

    binary = {
        "resourceType": "Binary",
        "id": f"{id_}-binary",
        "contentType": "image/png",
        "securityContext": {"reference": f"ImagingStudy/{study_id}"},
        "data": base64.b64encode(png(shade=10)).decode(),
    }
    attachment = {"contentType": "image/png", "url": f"Binary/{id_}-binary", "title": "Lungs"}
    document = {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "description": "Right and left lung as the model drew them",
        "subject": {"reference": subject},
        "content": [{"attachment": attachment}],
        "context": {"related": [{"reference": f"ImagingStudy/{study_id}"}]},
    }
    if device:
        document["author"] = [{"reference": device}]
    return [binary, document]
