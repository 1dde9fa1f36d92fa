"""Profiles that a resource has to follow whether it claims them or not: vital signs by their LOINC code.

https://hl7.org/fhir/R4/observation-vitalsigns.html
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from resources.model import Resource

_LOINC = "http://loinc.org"
_CORE = "http://hl7.org/fhir/StructureDefinition/"
VITAL_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "85353-1": f"{_CORE}vitalspanel",
        "9279-1": f"{_CORE}resprate",
        "8867-4": f"{_CORE}heartrate",
        "2708-6": f"{_CORE}oxygensat",
        "8310-5": f"{_CORE}bodytemp",
        "8302-2": f"{_CORE}bodyheight",
        "9843-4": f"{_CORE}headcircum",
        "29463-7": f"{_CORE}bodyweight",
        "39156-5": f"{_CORE}bmi",
        "85354-9": f"{_CORE}bp",
    }
)
"""By LOINC code, the profile that every Observation with it follows."""


def implied(resource: Resource) -> tuple[str, ...]:
    """Give the profiles that the codes of a resource imply."""
    if resource.get("resourceType") != "Observation":
        return ()
    found = (VITAL_SIGNS.get(code) for code in _loinc(resource.get("code")))
    return tuple(dict.fromkeys(url for url in found if url is not None))


def _loinc(concept: Any) -> Iterator[str]:
    for coding in concept.get("coding", ()) if isinstance(concept, dict) else ():
        code = coding.get("code")
        if coding.get("system") == _LOINC and isinstance(code, str):
            yield code
