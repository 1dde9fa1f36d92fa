"""FHIR XML in and out, driven by the definitions, without loss (FHIR R4 xml.html)."""

from resources.xml_reading import from_xml
from resources.xml_writing import to_xml

__all__ = ["from_xml", "to_xml"]
