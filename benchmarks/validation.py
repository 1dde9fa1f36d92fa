"""`python -m benchmarks.validation`: what a resource costs before it is stored, in process.

Base validation with its invariants, the index values with the words of what is written, and all of it from
the bytes that came to those that are stored. Each resource is taken alone, again and again, after its type's
rules were compiled; the figure is the least mean of several rounds, in µs of CPU. The budgets are those that
the project has set for itself.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from benchmarks import data
from conformance.validate import Validator
from fhir_server.interactions import writing
from fhir_server.search.parameters import SearchParameters
from resources import definitions, model

Resource = dict[str, Any]
_ROUNDS: Final = 15
_DIV: Final = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><p><b>Alder, Ada</b> was seen today.</p></div>'
)
_RACE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"


class Row(NamedTuple):
    """One figure in µs, and the most that it may be, if there is a budget."""

    name: str
    figure: float
    budget: int | None


def patient() -> Resource:
    """Give a Patient as registration systems write it."""
    return {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]},
        "text": {"status": "generated", "div": _DIV},
        "extension": [
            {
                "url": _RACE,
                "extension": [
                    {"url": "ombCategory", "valueCoding": {"system": "urn:oid:1.2", "code": "1"}},
                    {"url": "text", "valueString": "Unknown"},
                ],
            }
        ],
        "identifier": [
            {"use": "usual", "type": {"text": "MRN"}, "system": "urn:mrn", "value": "1"},
            {"system": "urn:ssn", "value": "2", "period": {"start": "2001-05-06"}},
        ],
        "active": True,
        "name": [{"use": "official", "family": "Alder", "given": ["Ada", "May"]}],
        "telecom": [
            {"system": "phone", "value": "555 0100", "use": "home"},
            {"system": "email", "value": "ada@example.org"},
        ],
        "gender": "female",
        "birthDate": "1980-02-29",
        "address": [
            {"line": ["1 Elm"], "city": "Town", "period": {"start": "2001", "end": "2002"}}
        ],
        "maritalStatus": {"coding": [{"system": "urn:marital", "code": "M"}], "text": "M"},
        "contact": [{"name": {"family": "Alder"}, "telecom": [{"system": "phone", "value": "1"}]}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}],
        "generalPractitioner": [{"reference": "Practitioner/1"}],
        "managingOrganization": {"reference": "Organization/1", "display": "Hospital"},
    }


def observation() -> Resource:
    """Give an Observation of a panel with components and ranges."""
    quantity = {
        "value": Decimal("7.50"),
        "unit": "g/dL",
        "system": "http://unitsofmeasure.org",
        "code": "g/dL",
    }
    return {
        "resourceType": "Observation",
        "id": "o1",
        "text": {"status": "generated", "div": _DIV},
        "identifier": [{"system": "urn:obs", "value": "1"}],
        "status": "final",
        "category": [{"coding": [{"system": "urn:category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}], "text": "Hb"},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectivePeriod": {"start": "2024-02-29T10:00:00Z", "end": "2024-02-29T10:05:00Z"},
        "issued": "2024-02-29T10:10:00.500Z",
        "performer": [{"reference": "Practitioner/1"}],
        "valueQuantity": quantity,
        "interpretation": [{"coding": [{"system": "urn:flags", "code": "N"}]}],
        "referenceRange": [{"low": {"value": 1}, "high": {"value": 9}}],
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": quantity,
            }
            for code in ("8480-6", "8462-4")
        ],
    }


def study(instances: int = 150) -> Resource:
    """Give an ImagingStudy of one series with so many instances."""
    sop = {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"}
    held = [
        {"uid": f"1.2.840.99.{n}", "sopClass": dict(sop), "number": n + 1, "title": "AXIAL"}
        for n in range(instances)
    ]
    modality = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
    return {
        "resourceType": "ImagingStudy",
        "id": "s1",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99"}],
        "status": "available",
        "modality": [modality],
        "subject": {"reference": "Patient/p1"},
        "started": "2024-02-29T10:00:00Z",
        "numberOfSeries": 1,
        "numberOfInstances": instances,
        "series": [{"uid": "1.2.840.98", "modality": modality, "instance": held}],
    }


def cost(check: Callable[[], object], number: int) -> float:
    """Give the least mean cost of a call in µs of CPU."""
    means = []
    for _ in range(_ROUNDS):
        begun = time.process_time_ns()
        for _ in range(number):
            check()
        means.append((time.process_time_ns() - begun) / number / 1000)
    return min(means)


class Shape(NamedTuple):
    """One resource, how often it is taken in a round, and what validation, values and all may cost in µs."""

    name: str
    resource: Resource
    number: int
    checked: int
    extracted: int
    prepared: int


def shapes() -> tuple[Shape, ...]:
    """Give what is measured."""
    plain = data.observation("o1", "p1", random.Random(1))
    return (
        Shape("Patient", patient(), 500, 150, 90, 250),
        Shape("Observation", observation(), 500, 150, 90, 250),
        Shape("Observation of one value", plain, 1000, 50, 40, 100),
        Shape("ImagingStudy, 150 instances", study(), 50, 500, 450, 1500),
    )


def rows() -> list[Row]:
    """Measure everything."""
    begun = time.perf_counter()
    defined = definitions.load()
    opened = (time.perf_counter() - begun) * 1e6
    validator, parameters = Validator(defined), SearchParameters(defined)
    found = [Row("definitions loaded", opened, 300_000)]
    for shape in shapes():
        found += _measured(shape, validator, parameters)
    return found


def _measured(shape: Shape, validator: Validator, parameters: SearchParameters) -> list[Row]:
    """Measure one resource, which must be valid."""
    sent = model.serialise(shape.resource)
    held = model.received(sent)
    begun = time.perf_counter()
    wrong = [issue for issue in validator.check(held) if issue.severity == "error"]
    first = (time.perf_counter() - begun) * 1e6
    if wrong:
        raise SystemExit(f"{shape.name} is not valid: {wrong}")

    def prepared() -> None:
        resource = model.received(sent)
        validator.check(resource)
        parameters.values(resource)
        writing.body(resource)

    prepared()
    checking = cost(lambda: validator.check(held), shape.number)
    extracting = cost(lambda: parameters.values(held), shape.number)
    preparing = cost(prepared, shape.number)
    return [
        Row(f"{shape.name}, the first", first, None),
        Row(shape.name, checking, shape.checked),
        Row(f"{shape.name}, values", extracting, shape.extracted),
        Row(f"{shape.name}, all", preparing, shape.prepared),
    ]


def main() -> int:
    """Print the figures, and fail where one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    found = rows()
    if given.json:
        print(json.dumps([row._asdict() for row in found]))
    else:
        for row in found:
            limit = f"at most {row.budget}" if row.budget else ""
            print(f"{row.name:<40}{row.figure:>12.1f} µs   {limit}")
    return int(any(row.budget is not None and row.figure > row.budget for row in found))


if __name__ == "__main__":
    sys.exit(main())
