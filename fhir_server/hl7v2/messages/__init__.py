"""HL7 v2 message maps, one declaration a file (v2-to-FHIR IG)."""
