"""Codes of what models measure: SNOMED CT, DICOM, UCUM, and our own where no standard has one."""

from msgspec import Struct

CANONICAL_BASE = "https://hounsfield.example/fhir"
"""Base of the canonical URLs and identifier systems that this product defines itself."""

OWN = f"{CANONICAL_BASE}/CodeSystem/imaging-measure"
UCUM = "http://unitsofmeasure.org"
SNOMED = "http://snomed.info/sct"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
LOINC = "http://loinc.org"


class Coding(Struct, frozen=True):
    """A code of a code system with its display."""

    system: str
    code: str
    display: str

    def json(self) -> dict[str, str]:
        """Give the Coding element."""
        return {"system": self.system, "code": self.code, "display": self.display}


def snomed(code: str, display: str) -> Coding:
    """Give a SNOMED CT concept."""
    return Coding(SNOMED, code, display)


def dicom(code: str, display: str) -> Coding:
    """Give a concept of the DICOM controlled terminology (PS3.16 annex D)."""
    return Coding(DICOM, code, display)


VOLUME = snomed("118565006", "Volume")
AREA = snomed("42798000", "Area")
LUNG = snomed("39607008", "Lung structure")
RIGHT_LUNG = snomed("3341006", "Right lung structure")
LEFT_LUNG = snomed("44029006", "Left lung structure")
CHEST = snomed("51185008", "Thoracic structure")
BRAIN = snomed("12738006", "Brain structure")
ARTIFICIAL_INTELLIGENCE = dicom("123110", "Artificial Intelligence")
