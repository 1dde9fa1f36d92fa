"""Seeded synthetic patients with orders, studies and observations: the same for the same seed."""

import random
from collections.abc import Iterator
from typing import Any

Resource = dict[str, Any]
PER_PATIENT = 60
_INSTANCES = 120
_FAMILIES = (
    "Alder",
    "Birch",
    "Cedar",
    "Dogwood",
    "Elm",
    "Fir",
    "Ginkgo",
    "Hazel",
    "Juniper",
    "Larch",
)
_GIVEN = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jana")
_CODES = tuple(f"{n}-{n % 10}" for n in range(1000, 1100))
MRN = "urn:bench:mrn"
ACCESSION = "urn:bench:accession"


def patients(count: int, seed: int = 1) -> Iterator[list[Resource]]:
    """Give each patient with their resources, PER_PATIENT in all."""
    chance = random.Random(seed)
    for number in range(count):
        yield list(_patient(number, chance))


def imaging_patients(count: int, seed: int = 1, first: int = 0) -> Iterator[list[Resource]]:
    """Give each patient with PER_PATIENT resources, two studies of 120 instances among them."""
    chance = random.Random(seed)
    for number in range(first, first + count):
        patient, order_, _, *observed = _patient(number, chance)
        id_ = f"p{number}"
        studies = [
            study(f"{id_}-s{n}", id_, f"{id_}-r", 2 * number + n, _INSTANCES) for n in range(2)
        ]
        yield [patient, order_, *studies, *observed[1:]]


def _patient(number: int, chance: random.Random) -> Iterator[Resource]:
    id_ = f"p{number}"
    yield {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": MRN, "value": f"M{number:07d}"}],
        "name": [
            {
                "family": f"{chance.choice(_FAMILIES)}{number % 997}",
                "given": [chance.choice(_GIVEN), chance.choice(_GIVEN)],
            }
        ],
        "gender": chance.choice(("female", "male")),
        "birthDate": f"{chance.randint(1930, 2020)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        "address": [{"city": f"Town{number % 53}", "postalCode": f"{number % 9999:04d}"}],
    }
    yield order(f"{id_}-r", id_, number)
    yield study(f"{id_}-s", id_, f"{id_}-r", number, 4)
    for index in range(PER_PATIENT - 3):
        yield observation(f"{id_}-o{index}", id_, chance)


def order(id_: str, patient: str, number: int) -> Resource:
    """Give an imaging order."""
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "identifier": [{"system": ACCESSION, "value": f"A{number:07d}"}],
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://loinc.org", "code": "24627-2"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "authoredOn": f"20{10 + number % 15}-03-0{1 + number % 9}T08:00:00Z",
    }


def study(id_: str, patient: str, order_id: str, number: int, instances: int) -> Resource:
    """Give an imaging study of one series."""
    uid = f"2.25.{10**30 + number}"
    listed = [
        {
            "uid": f"{uid}.1.{n}",
            "number": n,
            "sopClass": {
                "system": "urn:ietf:rfc:3986",
                "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2",
            },
        }
        for n in range(1, instances + 1)
    ]
    return {
        "resourceType": "ImagingStudy",
        "id": id_,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "status": "available",
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "subject": {"reference": f"Patient/{patient}"},
        "basedOn": [{"reference": f"ServiceRequest/{order_id}"}],
        "started": f"20{10 + number % 15}-03-0{1 + number % 9}T09:00:00Z",
        "numberOfSeries": 1,
        "numberOfInstances": instances,
        "series": [
            {
                "uid": f"{uid}.1",
                "modality": {
                    "system": "http://dicom.nema.org/resources/ontology/DCM",
                    "code": "CT",
                },
                "numberOfInstances": instances,
                "instance": listed,
            }
        ],
    }


def observation(id_: str, patient: str, chance: random.Random) -> Resource:
    """Give a laboratory-like observation."""
    day = f"20{chance.randint(10, 24)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "laboratory",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": chance.choice(_CODES)}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"{day}T10:30:00Z",
        "valueQuantity": {
            "value": chance.randint(1, 9999) / 100,
            "unit": "mg/dL",
            "system": "http://unitsofmeasure.org",
            "code": "mg/dL",
        },
    }
