"""Segment maps of HL7 v2: segments in, FHIR R4 resources as JSON out (v2-to-FHIR IG, segment maps)."""
