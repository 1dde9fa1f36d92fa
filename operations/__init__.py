"""FHIR operations, one declaration a file."""
